"""Kinds of settings that name what stands in Redis as it is: keys, names of queues, prefixes."""

import re
from typing import Final

from cli.kinds import MAX_TEXT, Kind, Wrong, type_name

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def _raw(value: object) -> str:
    """Return a text that stands in Redis as it is: of any characters but those that no UTF-8 has."""
    if not isinstance(value, str):
        raise Wrong(f"is {type_name(value)}, a text in quotes is wanted")
    if len(value) > MAX_TEXT:
        raise Wrong(f"has {len(value)} characters, at most {MAX_TEXT} are allowed")
    if _SURROGATE.search(value):
        raise Wrong("is no UTF-8 text")
    return value


def _prefix(value: object) -> str:
    prefix = _raw(value)
    if "\0" in prefix:
        raise Wrong("has a NUL in it")
    return prefix


def _key(value: object) -> str:
    if not (key := _raw(value)):
        raise Wrong("is empty; leave it out or give it a value")
    return key


PREFIX: Final = Kind(name="text, may be empty", parse=_prefix)
KEY: Final = Kind(name="text", parse=_key)
