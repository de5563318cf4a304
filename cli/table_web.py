"""The settings of what a daemon serves, and whom it answers."""

from typing import Final

from cli import kinds, kinds_web
from cli.schema import Key, Section

WEB: Final = Section(
    name="web",
    help="Where a daemon listens, and whom it answers.",
    keys=(
        Key(
            name="listen",
            kind=kinds.several(kinds.ADDRESS),
            help="Addresses: `:port`, `host:port` or `[v6]:port`. Exporter and sink may share a file; then give one of them the flag.",
            default_text='[":10139"]; the sink: [":10140"]',
            env="WEB_LISTEN_ADDRESS",
            flag="web.listen-address",
        ),
        Key(
            name="telemetry_path",
            kind=kinds.WEB_PATH,
            help="Path of the metrics.",
            default="/metrics",
            env="WEB_TELEMETRY_PATH",
            flag="web.telemetry-path",
        ),
        Key(
            name="config_file",
            kind=kinds.FILE,
            help="TLS, basic auth and headers, in the format of Prometheus's web config files; a relative path starts at the folder of the configuration file. Takes effect on a reload, a changed certificate at once.",
            env="WEB_CONFIG_FILE",
            flag="web.config.file",
        ),
        Key(
            name="token",
            kind=kinds_web.TOKENS,
            help="What opens the API; any of several, one a line (with commas between them in the variable), lines with # are comments. Without one the exporter makes one and keeps it in `api.token` in `state_dir`, else in `$STATE_DIRECTORY`, `$XDG_STATE_HOME/depthgauge` or `~/.local/state/depthgauge`; its log says where. Takes effect on a reload.",
            env="API_TOKEN",
            secret=True,
        ),
        Key(
            name="cors_origins",
            kind=kinds.several(kinds_web.ORIGIN),
            help="Origins whose pages may read the API from a browser. Takes effect on a reload.",
            default=(),
        ),
        Key(
            name="rate_limit",
            kind=kinds.integer(0, 100_000),
            help="Requests a second that one client may make, those for metrics and `/-/` aside; 0 sets no limit. Takes effect on a reload.",
            default=50,
        ),
        Key(
            name="rate_burst",
            kind=kinds.integer(1, 1_000_000),
            help="Requests that one client may make at once. Takes effect on a reload.",
            default=200,
        ),
        Key(
            name="max_connections",
            kind=kinds.integer(1, 10_000),
            help="Connections that are served at a time.",
            default=256,
        ),
        Key(
            name="max_connections_per_client",
            kind=kinds.integer(1, 10_000),
            help="Of these, how many one client may have.",
            default=128,
        ),
    ),
)
