"""What an exporter is put together from."""

from exporter.assembly import StandBy
from exporter.sources.redis_queues import RedisQueuesSource


class _Leases:
    def __init__(self) -> None:
        self.ours = True

    def allows(self, target: str, *, kind: str = "redis") -> bool:
        return self.ours


class _Source(RedisQueuesSource):
    def __init__(self, target: str) -> None:
        self.target = target
        self.stood_by = 0

    def stand_by(self) -> None:
        self.stood_by += 1


def test_a_redis_whose_lease_another_exporter_holds_is_told_so() -> None:
    leases, blue, green = _Leases(), _Source("blue"), _Source("green")
    watched = StandBy(leases, [blue, green])
    assert watched.allows("blue")
    assert blue.stood_by == 0
    leases.ours = False
    assert not watched.allows("blue")
    assert not watched.allows("blue", kind="database"), "a database of the same name is another thing"
    assert not watched.allows("unknown")
    assert (blue.stood_by, green.stood_by) == (1, 0)
