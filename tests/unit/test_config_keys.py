"""What is configured of a Redis: names and keys as they stand there."""

from cli.config import load, load_exporter
from cli.effective import show
from cli.schema import Role
from exporter.settings import CelerySettings, PrefixSettings
from tests.plugins.settings import MakeInputs

RAW = r"""
[[redis]]
queues = ["celery:\u0001", " mail ", "a\"\\\u009b\u0000\U0001f600"]
[redis.celery]
prefix = ""
separator = "\u0006\u0016"
[redis.sidekiq]
prefix = ""
[redis.dramatiq]
prefix = "\u007f"
[[redis.list]]
key = "\n"
processing = "\t"
[[redis.sorted_set]]
key = "\u0001"
[[redis.stream]]
key = "\u0002"
"""
"""What stands in Redis may be of any characters, and a prefix may be none."""


def test_what_stands_in_redis_may_be_anything(make_inputs: MakeInputs) -> None:
    (redis,) = load_exporter(make_inputs(RAW)).redis
    assert redis.queues == ("celery:\x01", " mail ", 'a"\\\x9b\0\U0001f600')
    assert (redis.celery, redis.sidekiq) == (CelerySettings(prefix=""), PrefixSettings(prefix=""))
    assert redis.celery.separator == "\x06\x16"
    assert redis.dramatiq.prefix == "\x7f"
    assert [(each.key, each.processing) for each in redis.lists] == [("\n", "\t")]
    assert (redis.sorted_sets[0].key, redis.streams[0].key) == ("\x01", "\x02")


def test_settings_in_effect_can_be_read_again(make_inputs: MakeInputs) -> None:
    shown = show(load(make_inputs(RAW), frozenset({Role.EXPORTER})), {Role.EXPORTER})
    assert load_exporter(make_inputs(shown)).redis == load_exporter(make_inputs(RAW)).redis
