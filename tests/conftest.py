"""Helpers that tests share; one a line, each a module in tests/plugins."""

pytest_plugins = [
    "tests.plugins.needs",
    "tests.plugins.logs",
    "tests.plugins.timescale_server",
    "tests.plugins.postgres",
    "tests.plugins.community",
    "tests.plugins.redis_server",
    "tests.plugins.laravel",
    "tests.plugins.queue_source",
    "tests.plugins.settings",
    "tests.plugins.supervisord",
    "tests.plugins.proxy",
    "tests.plugins.scripted_server",
    "tests.plugins.daemons",
    "tests.plugins.sinks",
    "tests.plugins.golden",
    "tests.plugins.prometheus",
    "tests.plugins.reliability",
    "tests.plugins.stage",
    "tests.plugins.hour",
]
