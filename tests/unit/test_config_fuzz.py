"""Whatever stands in a file, the answer is settings or a list of problems; and every line that is told is the right one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cli.config import load
from cli.inputs import Inputs
from cli.schema import Role
from cli.table import SECTIONS
from cli.toml_lines import lines
from depthgauge.errors import ConfigError
from tests.plugins.settings import NOWHERE

KEYS = sorted({name for section in SECTIONS for each in section.walk() for key in each.keys for name in key.names})
TABLES = sorted({each.name for section in SECTIONS for each in section.walk()})

words = st.sampled_from(
    ["", "a", "auto", "rq", ":1", "h:2", "30d", "redis://h/0", "redis://[", "unix:///s", "(?P<queue>.)", "//", "'"]
)
texts = words | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
scalars = st.one_of(
    texts.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'),
    texts.filter(lambda text: "'" not in text).map("'{}'".format),
    st.sampled_from(['"""a\n"b""\\""""', "'''a\n\n'b''''", '"""\\\n  x"""', "1979-05-27T07:32:00Z", "07:32:00", "0x1F"]),
    st.integers().map(str),
    st.floats().map(str),
    st.booleans().map(lambda value: str(value).lower()),
)  # fmt: skip
names = st.sampled_from([*KEYS, '"q.u"', "'l'", "x"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n" + " , # ] comment\n".join(items) + "\n]"),
        st.lists(st.tuples(names, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda pairs: f"{{ {', '.join(f'{name} = {value}' for name, value in pairs)} }}"
        ),
    ),
    max_leaves=5,
)
pairs = st.tuples(names | st.tuples(names, names).map(" . ".join), values).map(" = ".join)
headers = st.sampled_from([f"[{name}]" for name in TABLES] + [f"[[ {name} ]] # [x]" for name in TABLES] + ["[a.'b'.c]"])
documents = st.lists(st.one_of(pairs, headers, st.sampled_from(["", "# a = 1", "\t"])), max_size=14).map("\n".join)


def paths(content: Any, above: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Return the path of everything in a parsed document."""
    items = list(
        content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    )
    return {(*above, name) for name, _ in items}.union(*(paths(inner, (*above, name)) for name, inner in items))


@given(documents)
@example('a = """x""""" # "\n[b]\r\nc.d = [ 1,\r\n {e = 2}, \'\'\'\'\'\'\'\',\r\n]\n[[f]]\n[[f]]\n[f.g]\n[[f.h]]\ni=""')
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
def test_everything_in_a_document_has_a_line(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = lines(text)
    assert set(found) == paths(document)
    rows = text.replace("\r\n", "\n").split("\n")
    for path, line in found.items():
        name = next((part for part in reversed(path) if isinstance(part, str)), "")
        if isinstance(path[-1], str):
            assert name in rows[line - 1], (path, line)


@given(text=documents | st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
def test_any_text_gives_settings_or_problems(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for role in Role:
        inputs = Inputs(hostname="h", pid=1, file=file, places=NOWHERE)
        try:
            made = load(inputs, frozenset({role}))
        except ConfigError as exc:
            problems = exc.problems
        else:
            assert (made.exporter if role is Role.EXPORTER else made.dsn) is not None
            continue
        assert problems
        assert all(problem.startswith((str(file), "--config.file")) for problem in problems), problems


@given(
    st.dictionaries(st.sampled_from(sorted({name for s in SECTIONS for k in s.keys for name in k.variables})), texts)
)
@settings(deadline=None)
def test_any_environment_gives_settings_or_problems(environ: dict[str, str]) -> None:
    inputs = Inputs(hostname="h", pid=1, environ=environ, default_file=Path("/nowhere"), places=NOWHERE)
    for role in (Role.EXPORTER, Role.SINK):
        try:
            made = load(inputs, frozenset({role}))
        except ConfigError as exc:
            problems = exc.problems
        else:
            assert (made.exporter if role is Role.EXPORTER else made.sink) is not None
            continue
        assert problems


def test_lines_of_tables_keys_and_items() -> None:
    text = """\
# comment [a]
top = 1

[[redis]]
name = "x # y"
list = [
  1, # two
  { a = 2,   "b.c" = 3 },
]
[redis.'la ravel'] # here
prefix = '''
[not.a.table]
'''
[[redis]]
a.b = 1
a.c = 2
"""
    assert lines(text) == {
        ("top",): 2,
        ("redis",): 4,
        ("redis", 0): 4,
        ("redis", 0, "name"): 5,
        ("redis", 0, "list"): 6,
        ("redis", 0, "list", 0): 7,
        ("redis", 0, "list", 1): 8,
        ("redis", 0, "list", 1, "a"): 8,
        ("redis", 0, "list", 1, "b.c"): 8,
        ("redis", 0, "la ravel"): 10,
        ("redis", 0, "la ravel", "prefix"): 11,
        ("redis", 1): 14,
        ("redis", 1, "a"): 15,
        ("redis", 1, "a", "b"): 15,
        ("redis", 1, "a", "c"): 16,
    }
