"""Consumer groups: what is counted, what is claimed by whom, and what is remembered."""

from collections.abc import Sequence

from depthgauge.resp import Command, Reply, ReplyError, TooLarge
from depthgauge.snapshot import LiveJobs, Queue
from exporter.queues.group_rows import groups_of, next_id, size_of
from exporter.queues.groups import MAX_COUNTED, Budget, Growth
from exporter.queues.reader import Conversation, converse
from exporter.queues.streams import StreamReader
from exporter.queues.taskiq import TaskiqReader
from exporter.settings import StreamSettings

NOW = 1_800_000_000.0
ENTRY: Reply = [b"1799999990000-0", [b"job", b"x"]]


def row(name: bytes, *, lag: int | None = None, read: int | None = 0, delivered: bytes = b"1799999000000-0") -> Reply:
    return [
        *(b"name", name, b"consumers", 0, b"pending", 0),
        *(b"last-delivered-id", delivered, b"entries-read", read, b"lag", lag),
    ]


class Scripted:
    """Answers by command and key, and keeps what was asked."""

    def __init__(self, answers: dict[str, Reply]) -> None:
        self.answers = answers
        self.asked: list[Sequence[Command]] = []

    def __call__(self, commands: Sequence[Command]) -> list[Reply]:
        self.asked.append(commands)
        return [self._answer(command) for command in commands]

    def _answer(self, command: Command) -> Reply:
        line = " ".join(word.decode() if isinstance(word, bytes) else str(word) for word in command)
        return next((reply for start, reply in self.answers.items() if line.startswith(start)), None)

    def read(self, conversation: Conversation[Sequence[Queue]]) -> Sequence[Queue]:
        (queues,) = converse(self, [conversation])
        return queues

    def find(self, conversation: Conversation[Sequence[bytes]]) -> Sequence[bytes]:
        (handles,) = converse(self, [conversation])
        return handles


def test_a_backlog_that_is_too_long_to_count_is_unknown_and_its_head_known() -> None:
    script = Scripted(
        {
            "XLEN": 70_000,
            "XINFO GROUPS": [row(b"g")],
            "XRANGE s 1799999000000-1 + COUNT 1000": [ENTRY] * 1000,
            "XRANGE s 1799999000000-1 + COUNT 1": [ENTRY],
            "XRANGE s - 1799999000000-0 COUNT 1000": [ENTRY] * 1000,
        }
    )
    (queue,) = script.read(StreamReader((), ()).read((b"s",), NOW))
    assert queue.live == LiveJobs(waiting=None, active=0)
    assert queue.error == "too_large"
    assert queue.head_eligible_at is not None
    assert queue.head_eligible_at.timestamp() == NOW - 10
    assert len(script.asked) == 3


def test_a_long_backlog_behind_a_short_past_is_known() -> None:
    script = Scripted(
        {
            "XLEN": 70_000,
            "XINFO GROUPS": [row(b"g")],
            "XRANGE s 1799999000000-1 + COUNT 1000": [ENTRY] * 1000,
            "XRANGE s 1799999000000-1 + COUNT 1": [ENTRY],
            "XRANGE s - 1799999000000-0 COUNT 1000": [ENTRY] * 7,
        }
    )
    (queue,) = script.read(StreamReader((), ()).read((b"s",), NOW))
    assert (queue.live.waiting, queue.error) == (69_993, None)


def test_counting_fetches_no_more_than_its_budget_for_all_groups_together() -> None:
    budget = Budget(10_000)
    assert budget.take(10) == 500, "each way"
    assert budget.take(10) == 0
    assert Budget().take(1) == MAX_COUNTED
    assert Budget(1 << 20).take(600_000) == 0
    assert size_of([b"1-0", [b"job", b"four", TooLarge(5)]]) == 10


def test_a_large_head_is_left_alone_for_a_while_and_its_backlog_with_it() -> None:
    script = Scripted({"XLEN": 5, "XINFO GROUPS": [row(b"g")], "XRANGE": [[b"1799999990000-0", [b"job", TooLarge(9)]]]})
    reader = StreamReader((), ())
    for at, trips in ((NOW, 2), (NOW + 599, 1), (NOW + 601, 2)):
        script.asked.clear()
        (queue,) = script.read(reader.read((b"s",), at))
        assert (queue.live.waiting, queue.head_eligible_at, queue.error) == (None, None, "too_large")
        assert len(script.asked) == trips


def test_a_total_grows_and_never_falls() -> None:
    growth = Growth()
    assert [growth.update(b"g", value) for value in (100, 103, 90, 95)] == [0, 3, 3, 8]
    growth.rebase()
    assert [growth.update(b"g", value) for value in (200, 201)] == [8, 9]


def test_totals_go_on_from_what_is_read_after_a_rebase() -> None:
    script = Scripted({"XLEN": 5, "XINFO GROUPS": [row(b"g", lag=0, read=10)]})
    reader = StreamReader((), ())
    totals = []
    for read, rebase in ((10, False), (12, False), (50, True), (51, False)):
        script.answers["XINFO GROUPS"] = [row(b"g", lag=0, read=read)]
        if rebase:
            reader.rebase()
        totals += [queue.completed_total for queue in script.read(reader.read((b"s",), NOW))]
    assert totals == [0, 2, 2, 3]


def test_groups_of_a_stream_that_is_gone_stay_at_0_and_one_that_was_destroyed_goes() -> None:
    script = Scripted({"XLEN": 5, "XINFO GROUPS": [row(b"g", lag=5), row(b"h", lag=5)]})
    reader = StreamReader((), ())
    assert [queue.name for queue in script.read(reader.read((b"s",), NOW))] == ["s/g", "s/h"]
    script.answers["XINFO GROUPS"] = [row(b"h", lag=5)]
    assert [queue.name for queue in script.read(reader.read((b"s",), NOW))] == ["s/h"]
    script.answers |= {"XLEN": 0, "XINFO GROUPS": ReplyError("ERR", "ERR no such key")}
    (queue,) = script.read(reader.read((b"s",), NOW))
    assert (queue.name, queue.live, queue.error) == ("s/h", LiveJobs(waiting=0, active=0), None)
    script.answers |= {"XINFO GROUPS": ReplyError("NOPERM", "NOPERM no")}
    (queue,) = script.read(reader.read((b"s",), NOW))
    assert (queue.name, queue.live.waiting, queue.error) == ("s/h", None, "acl_denied")


def test_streams_and_taskiq_share_what_is_found_and_claim_no_group_twice() -> None:
    groups: dict[str, Reply] = {
        "XINFO GROUPS plain": [row(b"workers")],
        "XINFO GROUPS taskiq": [row(b"taskiq")],
        "XINFO GROUPS both": [row(b"taskiq"), row(b"audit")],
        "XINFO GROUPS none": [],
        "XINFO GROUPS gone": ReplyError("ERR", "ERR no such key"),
    }
    keys = (b"plain", b"taskiq", b"both", b"none", b"gone")
    script = Scripted(groups)
    found = {}
    for reader in (StreamReader((), ()), TaskiqReader(())):
        for key in keys:
            assert reader.may_own([key])
            assert reader.recognise(key, b"stream") is None
            assert reader.recognise(key, b"hash") is None
        assert len(reader.prefixes) == len(keys), "discovery asks once more when there are more"
        found[reader.system] = list(script.find(reader.discover()))
        assert reader.prefixes == []
        assert script.find(reader.discover()) == []
    assert found == {"stream": [b"plain", b"both"], "taskiq": [b"taskiq", b"both"]}
    script.answers |= {"TYPE": b"stream", "XLEN": 0}
    shown = {
        queue.name
        for reader in (StreamReader((), ()), TaskiqReader(()))
        for queue in script.read(reader.read(found[reader.system], NOW))
    }
    assert shown == {"plain/workers", "both/audit", "taskiq", "both"}


def test_streams_of_depthgauge_and_of_rqs_results_are_not_looked_at() -> None:
    reader = StreamReader((), ())
    for key in (b"depthgauge:snapshots", b"depthgauge:quarantine", b"rq:results:1", b"shop:rq:results:1"):
        assert not reader.may_own([key])


def test_taskiq_takes_lists_by_name_only() -> None:
    reader = TaskiqReader(("low",))
    assert [reader.recognise(key, b"list") for key in (b"taskiq", b"low", b"high")] == [b"taskiq", b"low", None]
    assert reader.recognise(b"taskiq", b"string") is None, "a result may have any key"


def test_a_group_configured_as_a_streams_is_not_taskiqs() -> None:
    reader = TaskiqReader((), (StreamSettings(key="mail", name="mail", group="taskiq"),))
    reader.recognise(b"mail", b"stream")
    assert Scripted({"XINFO": [row(b"taskiq")]}).find(reader.discover()) == []


def test_the_next_id_and_odd_rows() -> None:
    assert next_id((5, 7)) == "5-8"
    assert next_id((5, (1 << 64) - 1)) == "6-0"
    assert groups_of([b"row", [b"name"], [b"consumers", 1], 7]) == []
    assert groups_of(None) == []
