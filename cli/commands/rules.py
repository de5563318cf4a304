"""``depthgauge rules``."""

import shlex

import click


@click.command()
@click.option(
    "--selector",
    metavar="MATCHERS",
    help='Which series are the exporters\': the inside of braces. [default: job="depthgauge-exporter"]',
)
@click.option(
    "--sink-selector",
    metavar="MATCHERS",
    help='Which series are the sinks\'. [default: job="depthgauge-sink"]',
)
@click.option(
    "--by",
    metavar="LABEL",
    multiple=True,
    help="A label that tells installations apart in one Prometheus, such as cluster. May be repeated.",
)
@click.option(
    "--threshold",
    "thresholds",
    metavar="NAME=VALUE",
    multiple=True,
    help="Another number for an alert: jobqueue.wait=300, jobqueue.stuck=2h. May be repeated.",
)
@click.option("--without", metavar="ALERT", multiple=True, help="Leave an alert out. May be repeated.")
@click.option(
    "--runbook-url",
    metavar="PREFIX",
    help="What the URLs of runbooks begin with, up to the alert's name. [default: where Depthgauge's own are]",
)
@click.option("--list-thresholds", is_flag=True, help="List the names of all thresholds with their defaults, and exit.")
def rules(
    *,
    selector: str | None,
    sink_selector: str | None,
    by: tuple[str, ...],
    thresholds: tuple[str, ...],
    without: tuple[str, ...],
    runbook_url: str | None,
    list_thresholds: bool,
) -> None:
    """Print recording and alerting rules for Prometheus, as YAML.

    Without options these are the rules in prometheus/rules. What each alert means: docs/alerts.md.
    """
    from cli.rules.document import document  # noqa: PLC0415  help need not load it
    from cli.rules.options import Asked, choices_of, threshold_lines  # noqa: PLC0415  the same

    if list_thresholds:
        click.echo("\n".join(threshold_lines()))
        return
    choices = choices_of(
        Asked(
            exporters=selector,
            sinks=sink_selector,
            by=by,
            thresholds=thresholds,
            without=without,
            runbooks=runbook_url,
        )
    )
    given = [
        *([] if selector is None else ["--selector", selector]),
        *([] if sink_selector is None else ["--sink-selector", sink_selector]),
        *(word for label in by for word in ("--by", label)),
        *(word for text in thresholds for word in ("--threshold", text)),
        *(word for name in without for word in ("--without", name)),
        *([] if runbook_url is None else ["--runbook-url", runbook_url]),
    ]
    click.echo(document(choices, told=shlex.join(given), without=without), nl=False)
