"""The ``depthgauge`` command.

Exit status: 0 good, 1 a mistake in flags or configuration, an address that cannot be bound or a failed check, 3 a database
schema that is not the one this program needs.
"""

import platform
import sys
from typing import Any, Final

import click

from cli.commands.check import check
from cli.commands.daemons import exporter, sink
from cli.commands.demo import demo
from cli.commands.healthcheck import healthcheck
from cli.commands.history import history
from cli.commands.listen import listen
from cli.commands.migrate import migrate
from cli.commands.quarantine import quarantine
from cli.commands.queues import queues
from cli.commands.rules import rules
from cli.commands.snapshot import snapshot
from depthgauge import __version__
from depthgauge.errors import ConfigError, DepthgaugeError, SchemaError

BAD: Final = 1
BAD_SCHEMA: Final = 3


class _Failure(click.ClickException):
    """An error that explains itself; click prints it and exits."""

    exit_code = BAD

    def show(self, file: Any = None) -> None:
        print(f"depthgauge: {self.message}", file=file or sys.stderr)


class _SchemaFailure(_Failure):
    exit_code = BAD_SCHEMA


class _Group(click.Group):
    """Turns our errors into sentences and their exit status; a wrong flag is 1, as with Prometheus's programs."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as exc:
            exc.show()
            raise click.exceptions.Exit(BAD) from exc

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as exc:
            exc.show()
            raise click.exceptions.Exit(BAD) from exc
        except ConfigError as exc:
            count = len(exc.problems)
            title = "a mistake" if count == 1 else f"{count} mistakes"
            lines = "".join(f"\n  {problem}" for problem in exc.problems)
            raise _Failure(f"the configuration has {title}:{lines}") from exc
        except SchemaError as exc:
            raise _SchemaFailure(str(exc)) from exc
        except DepthgaugeError as exc:
            raise _Failure(str(exc)) from exc


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(
    __version__,
    prog_name="depthgauge",
    message=f"%(prog)s %(version)s (Python {platform.python_version()}, {platform.system()} {platform.machine()})",
)
def main() -> None:
    """Watch job queues and the workers that drain them.

    Settings come from flags, DEPTHGAUGE_… variables, one TOML file and defaults, in this order.
    """


for _command in (
    exporter,
    sink,
    migrate,
    snapshot,
    check,
    queues,
    history,
    quarantine,
    rules,
    demo,
    listen,
    healthcheck,
):
    main.add_command(_command)

if __name__ == "__main__":
    main(prog_name="depthgauge")
