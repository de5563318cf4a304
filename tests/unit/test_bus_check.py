"""What a bus must be like."""

import pytest

from exporter.bus_check import eviction_refusal, keeps_data


@pytest.mark.parametrize(
    ("policy", "maxmemory", "refused"),
    [
        ("noeviction", 1, False),
        ("volatile-lru", 1, False),
        ("allkeys-lru", 1, True),
        ("allkeys-random", 1, True),
        ("allkeys-lfu", 0, False),
    ],
)
def test_only_a_policy_that_may_evict_the_stream_is_refused(policy: str, maxmemory: int, refused: bool) -> None:
    found = eviction_refusal({"maxmemory_policy": policy, "maxmemory": maxmemory})
    assert (found is not None) is refused


@pytest.mark.parametrize(
    ("persistence", "kept"),
    [
        ({"aof_enabled": 1}, True),
        ({"aof_enabled": 0, "rdb_saves": 3}, True),
        ({"aof_enabled": 0, "rdb_last_bgsave_time_sec": 0}, True),
        ({"aof_enabled": 0, "rdb_saves": 0, "rdb_last_bgsave_time_sec": -1}, False),
    ],
)
def test_who_keeps_data(persistence: dict[str, object], kept: bool) -> None:
    assert keeps_data(persistence) is kept
