"""``depthgauge demo``."""

import click

from depthgauge.errors import DepthgaugeError


@click.command()
@click.option("--check", is_flag=True, help="Run until one snapshot has arrived everywhere, print what was seen, exit.")
@click.pass_context
def demo(context: click.Context, /, check: bool) -> None:
    """Run everything on this machine, embedded, in one folder that is removed at the end.

    Needs the extra: pip install 'depthgauge[demo]'.
    """
    try:
        from cli.demo.main import run  # noqa: PLC0415  it needs libraries of the extra
    except ModuleNotFoundError as exc:
        raise DepthgaugeError(f"the demo needs {exc.name}: pip install 'depthgauge[demo]'") from exc
    context.exit(run(check=check))
