"""Every reader against recorded dialogues: commands and the replies a real server gave, beside what has to come out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.secrets import Secret
from depthgauge.snapshot import Queue
from exporter.queues.active import active_readers
from exporter.queues.reader import converse
from exporter.settings import RedisSettings

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "queues"
CASES = sorted(path for path in FOLDER.glob("*/*.json") if not path.name.endswith(".expected.json"))


def reply_of(value: Any) -> Reply:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [reply_of(item) for item in value]
    if isinstance(value, dict):
        if "too_large" in value:
            return TooLarge(value["too_large"])
        if "hex" in value:
            return bytes.fromhex(value["hex"])
        return ReplyError(value["error"].partition(" ")[0], value["error"])
    assert value is None or isinstance(value, int)
    return value


def line_of(command: Command) -> str:
    return " ".join(word.decode() if isinstance(word, bytes) else str(word) for word in command)


def test_there_are_dialogues_and_each_has_its_expectation() -> None:
    assert len(CASES) > 20
    assert {path.name for path in FOLDER.glob("*/*.expected.json")} == {f"{path.stem}.expected.json" for path in CASES}


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_dialogue_gives_the_expected_queues(path: Path) -> None:
    case = json.loads(path.read_bytes())
    options = case["settings"] | {"name": "main", "systems": (path.parent.name,)}
    settings = msgspec.convert(options | {"url": ""}, RedisSettings, dec_hook=lambda _, url: Secret(url))
    (reader,) = (active.reader for active in active_readers(settings) if active.reader.system == path.parent.name)
    batches = iter(case["batches"])

    def exchange(commands: Sequence[Command]) -> list[Reply]:
        recorded = next(batches)
        assert [line_of(command) for command in commands] == [line for line, _ in recorded]
        return [reply_of(reply) for _, reply in recorded]

    found = tuple(handle.encode() for handle in case["found"])
    (queues,) = converse(exchange, [reader.read(found, case["now"])])
    expected = json.loads(path.with_suffix(".expected.json").read_bytes())
    assert list(queues) == [msgspec.convert(each, Queue, strict=False) for each in expected]
    assert next(batches, None) is None, "no recorded batch is left over"
