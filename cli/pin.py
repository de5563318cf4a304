"""What was found in a Redis, as configuration: TOML that names it, so that nothing has to be looked for."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from cli.toml_text import quoted
from depthgauge.secrets import masked
from exporter.queues.naming import FoundQueue
from exporter.settings import RedisSettings

MOST: Final = 200
"""Queues that are named; a longer list helps nobody."""

_WIDE: Final = 100
"""Characters of a line; a longer list has a line for each item."""


def as_toml(settings: RedisSettings, found: Sequence[FoundQueue]) -> str:
    """Return a section for the Redis, beside what is configured of it; empty where nothing was found."""
    return "\n".join(_lines(settings, found)) + "\n" if found else ""


def _lines(settings: RedisSettings, found: Sequence[FoundQueue]) -> Iterator[str]:
    yield "[[redis]]"
    yield f"name = {quoted(settings.name)}"
    yield from _address(settings.url.reveal())
    systems = sorted({each.system for each in found})
    yield _list("systems", systems)
    texts = [(each.system, _text(each.bare)) for each in found]
    streams = sorted({text for system, text in texts if text and _needs_section(system, text)})
    named = {f"{system}:{text}" for system, text in texts if text and not _needs_section(system, text)}
    names = list(dict.fromkeys((*settings.queues, *sorted(named))))
    if len(names) <= MOST:
        yield _list("queues", names)
    else:
        yield f"# {len(names)} queues: name those that matter in queues = […], and see include and exclude"
    if nameless := sum(text is None for _, text in texts):
        yield f"# not named: {nameless}, whose names are no UTF-8; they are found as before"
    yield from _kept(settings)
    for key in streams[:MOST]:
        yield ""
        yield "[[redis.stream]]"
        yield f"key = {quoted(key)}"
    yield from _prefixes(found)


def _address(url: str) -> Iterator[str]:
    """Yield the URL without its login, and the login: a password does not belong on the screen."""
    login, at, _ = urlsplit(url).netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    bare = url.replace(f"//{login}@", "//", 1) if at else url
    if masked(bare) != bare:
        yield '# url_file = "/etc/depthgauge/redis.url"   (a file of your own, with the URL in it: it holds a password)'
        return
    yield f"url = {quoted(bare)}"
    if user:
        yield f"username = {quoted(unquote(user))}"
    if colon:
        yield '# password_file = "/etc/depthgauge/redis.password"   (a file of your own, with the password in it)'


def _needs_section(system: str, key: str) -> bool:
    """Say whether ``queues`` would take a part of the key for a group."""
    return system == "stream" and "/" in key


def _kept(settings: RedisSettings) -> Iterator[str]:
    """Name what the configuration says already and this does not repeat."""
    kept = [name for name in ("include", "exclude") if getattr(settings, name)]
    tables = {"stream": settings.streams, "list": settings.lists, "sorted_set": settings.sorted_sets}
    kept += [f"[[redis.{name}]]" for name, configured in tables.items() if configured]
    if kept:
        yield f"# and what is configured already: {', '.join(kept)}"


def _prefixes(found: Sequence[FoundQueue]) -> Iterator[str]:
    sections: dict[str, set[bytes]] = {}
    for each in found:
        for section, prefix in each.pins.items():
            sections.setdefault(section, set()).add(prefix)
    for section, prefixes in sorted(sections.items()):
        texts = [_text(prefix) for prefix in sorted(prefixes)]
        yield ""
        if texts == [None]:
            yield f"# the prefix of {section} is no UTF-8: it is found as before"
        elif len(texts) == 1:
            yield f"[redis.{section}]"
            yield f"prefix = {quoted(texts[0] or '')}"
        else:
            shown = ", ".join("one that is no UTF-8" if text is None else quoted(text) for text in texts)
            yield f"# {section} has several prefixes here: {shown}; to tell the applications"
            yield f"# apart, write one [[redis]] for each, with its prefix in [redis.{section}]"


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _list(key: str, words: Sequence[str]) -> str:
    items = [quoted(word) for word in words]
    line = f"{key} = [{', '.join(items)}]"
    return line if len(line) <= _WIDE else "\n".join((f"{key} = [", *(f"    {item}," for item in items), "]"))
