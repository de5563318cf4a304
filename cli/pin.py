"""What was found in a Redis, as configuration: TOML that names it, so that nothing has to be looked for."""

import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from exporter.queues.naming import FoundQueue
from exporter.settings import RedisSettings

MOST: Final = 200
"""Queues that are named; a longer list helps nobody."""


def as_toml(settings: RedisSettings, found: Sequence[FoundQueue]) -> str:
    """Return a section for the Redis; empty where nothing was found."""
    return "\n".join(_lines(settings, found)) + "\n" if found else ""


def _lines(settings: RedisSettings, found: Sequence[FoundQueue]) -> Iterator[str]:
    systems = dict.fromkeys(each.system for each in found)
    names = list(dict.fromkeys(f"{each.system}:{each.name}" for each in found if each.name))
    yield "[[redis]]"
    yield f"name = {json.dumps(settings.name, ensure_ascii=False)}"
    url, has_password = _without_password(settings.url.reveal())
    yield f"url = {json.dumps(url, ensure_ascii=False)}"
    if has_password:
        yield "# the password, in a file of its own: password_file = …"
    yield f"systems = {_list(systems)}"
    if len(names) <= MOST:
        yield f"queues = {_list(names)}"
    else:
        yield f"# {len(names)} queues: name those that matter in queues = […], and see include and exclude"
    for system in systems:
        prefixes = sorted({each.prefix for each in found if each.system == system and each.prefix is not None})
        if len(prefixes) == 1:
            yield ""
            yield f"[redis.{system}]"
            yield f"prefix = {json.dumps(prefixes[0], ensure_ascii=False)}"
        elif prefixes:
            yield ""
            yield f"# {system} has several prefixes here: {', '.join(map(json.dumps, prefixes))}; to tell the applications"
            yield f"# apart, write one [[redis]] for each, with its prefix in [redis.{system}]"


def _list(words: Sequence[str] | dict[str, None]) -> str:
    return f"[{', '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"


def _without_password(url: str) -> tuple[str, bool]:
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    if not at or not colon:
        return url, False
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host)), True
