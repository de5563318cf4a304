"""What came of the hour at 50 times its speed, see tests/plugins/hour.py."""

import pytest

from tests.plugins.hour import HOSTS, SLOTS, Hour
from tests.plugins.reliability import Matrix
from tests.plugins.stage import EDITIONS

pytestmark = [pytest.mark.needs("redis-server", "postgres", "supervisord"), pytest.mark.timeout(300)]

MORE_MEMORY = 1.05
SPARE_MEMORY = 2 * 2**20
SPARE_DESCRIPTORS = 2


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_hour_without_the_database(hour: Hour, matrix: Matrix, edition: str) -> None:
    outage = hour.outage(edition)

    assert outage.waited >= 200 * len(HOSTS), "an hour has 240 slots"
    assert outage.account.counted == {}
    matrix.record(
        "database stopped for an hour (75 s at 50 times the speed)",
        outage.account,
        database=edition,
        told="`depthgauge_sink_database_up` 0",
    )


def test_an_hour_of_operation_is_flat(hour: Hour, matrix: Matrix) -> None:
    endurance = hour.endurance()

    assert endurance.slots >= SLOTS
    for flat in endurance.flat:
        before, after = flat.memory
        assert after <= before * MORE_MEMORY + SPARE_MEMORY, flat
        fewer, more = sorted(flat.descriptors)
        assert more - fewer <= SPARE_DESCRIPTORS, flat
    matrix.endurance.extend(endurance.flat)
    matrix.record(
        "none: an hour of operation at 50 times the speed", endurance.account, database="plain", told="nothing to tell"
    )
