"""The list of queue systems: explicit, and complete in every respect."""

import importlib.resources
from pathlib import Path

import pytest

from depthgauge.errors import ConfigError
from depthgauge.secrets import Secret
from exporter.command_lines import COMMAND_LINES
from exporter.queues import SYSTEMS
from exporter.queues.active import active_readers
from exporter.settings import CelerySettings, ListSettings, PrefixSettings, RedisSettings, SortedSetSettings
from tests.plugins.repo import repo_root

SHARED = {
    *("active", "system", "__init__", "reader", "payload", "heads", "naming", "tally", "sets", "targets"),
    *("rq_names", "rq_workers", "celery_names"),
    *("groups", "group_rows"),
    *("horizon", "laravel_apps", "sawtooth", "counters"),
    *("bull_keys", "bull_jobs", "bull_clients"),
    *("attempts", "namespaces", "sets", "sidekiq_discovery", "sidekiq_processes", "resque_discovery", "resque_workers"),
}
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "queues"
NAMES = [system.name for system in SYSTEMS]


def settings(**options: object) -> RedisSettings:
    return RedisSettings(name="main", url=Secret("redis://localhost"), **options)  # type: ignore[arg-type]  # by name


def module_of(system_name: str) -> str:
    (active,) = active_readers(settings(systems=(system_name,)))
    return type(active.reader).__module__


def test_names_are_unique_and_are_their_readers_labels() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        (active,) = active_readers(settings(systems=(name,)))
        assert active.reader.system == name
        assert active.always


def test_every_module_of_the_folder_is_listed() -> None:
    folder = importlib.resources.files("exporter.queues")
    modules = {Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".py")}
    assert modules - SHARED == {module_of(name).rpartition(".")[2] for name in NAMES}


def test_every_module_opens_with_its_table_of_states() -> None:
    for module in {module_of(name) for name in NAMES}:
        text = importlib.import_module(module).__doc__ or ""
        assert "=========" in text, f"{module} has no table in its docstring"
        assert "waiting " in text
        assert "active " in text


def test_every_system_has_its_fixture_folder_and_no_folder_is_left_over() -> None:
    assert {folder.name for folder in FIXTURES.iterdir()} == set(NAMES)
    for name in NAMES:
        assert any((FIXTURES / name).glob("*.json")), f"{name} has no recorded dialogue"


@pytest.mark.needs("source-tree")
def test_every_system_has_its_section_in_the_docs() -> None:
    text = (repo_root() / "docs" / "queues.md").read_text()
    for name in NAMES:
        assert any(line.startswith("## ") and f"`{name}`" in line for line in text.splitlines()), name
    assert "## How to add a queue system" in text


def test_command_lines_are_of_known_systems() -> None:
    # BullMQ and Bull run in programs of the user's own; streams, lists and sorted sets have no workers of their own.
    assert [line.system for line in COMMAND_LINES] == [
        name for name in NAMES if name not in {"bullmq", "bull", "stream", "list", "zset"}
    ]


def test_auto_tries_what_can_be_discovered() -> None:
    tried = {active.reader.system: active.always for active in active_readers(settings())}
    assert tried == dict.fromkeys((name for name in NAMES if name not in {"list", "zset"}), False)


def test_what_is_told_is_read_although_auto_does_not_try_it() -> None:
    told = settings(
        systems=("rq",),
        laravel=PrefixSettings(prefix="shop_"),
        lists=(ListSettings(key="jobs", name="jobs"),),
        sorted_sets=(SortedSetSettings(key="due", name="due"),),
    )
    assert [(active.reader.system, active.always) for active in active_readers(told)] == [
        ("laravel", True),
        ("rq", True),
        ("list", True),
        ("zset", True),
    ]


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("laravel", PrefixSettings(prefix="x")),
        ("celery", CelerySettings(priority_steps=(0,))),
        ("sidekiq", PrefixSettings(prefix="x")),
        ("resque", PrefixSettings(prefix="x")),
        ("bullmq", PrefixSettings(prefix="x")),
        ("bull", PrefixSettings(prefix="x")),
        ("dramatiq", PrefixSettings(prefix="x")),
    ],
)
def test_settings_of_a_system_bring_it(name: str, option: object) -> None:
    found = {
        active.reader.system: active.always for active in active_readers(settings(systems=("list",), **{name: option}))
    }
    assert found == {name: True, "list": True}


@pytest.mark.parametrize("name", ["celery", "rq", "sidekiq", "resque", "bullmq", "bull", "dramatiq", "laravel"])
def test_a_configured_prefix_keeps_only_its_own_of_what_was_found_earlier(name: str) -> None:
    kind = CelerySettings if name == "celery" else PrefixSettings
    (told,) = active_readers(settings(systems=(name,), **{name: kind(prefix="shop")}))
    (free,) = active_readers(settings(systems=(name,)))
    handles = [b"shopqueues:mail", b"queues:mail"] if name == "laravel" else [b"shop\0mail", b"shop:eu\0mail"]
    assert [told.reader.keeps(handle) for handle in handles] == [True, False]
    assert [free.reader.keeps(handle) for handle in handles] == [True, True]


def test_a_pinned_name_brings_its_system_a_bare_one_does_not() -> None:
    pinned = {active.reader.system: active.always for active in active_readers(settings(queues=("rq:high", "low")))}
    assert [name for name, always in pinned.items() if always] == ["rq"]
    listed = {active.reader.system: active.always for active in active_readers(settings(queues=("list:jobs",)))}
    assert [name for name, always in listed.items() if always] == ["list"]


def test_a_list_that_is_told_twice_is_read_once_as_its_table_says() -> None:
    told = settings(
        lists=(ListSettings(key="jobs:v2", name="jobs"),),
        sorted_sets=(SortedSetSettings(key="due:v2", name="due"),),
        queues=("list:jobs", "list:more", "zset:due"),
        systems=(),
    )
    keys = {
        active.reader.system: {str(command[1]) for command in next(iter(active.reader.read((), 1.8e9)))}
        for active in active_readers(told)
    }
    assert keys == {"list": {"jobs:v2", "more"}, "zset": {"due:v2"}}


def test_every_system_names_the_commands_it_sends() -> None:
    for system in SYSTEMS:
        assert system.commands, f"{system.name} names no commands"
        assert all(name == name.lower() for name in system.commands)


def test_a_name_with_a_colon_that_pins_no_system_is_bare() -> None:
    (active,) = active_readers(settings(systems=("rq",), queues=("mail:eu",)))
    batch = next(iter(active.reader.read((), 1.8e9)))
    assert ("LLEN", b"rq:queue:mail:eu") in batch


def test_an_unknown_system_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"main.*kafka.*auto, laravel, celery, rq"):
        active_readers(settings(systems=("kafka",)))
