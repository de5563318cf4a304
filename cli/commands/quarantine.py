"""``depthgauge quarantine``."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.commands.options import LOG, config_options, load, start_log
from cli.schema import Role
from depthgauge.errors import DepthgaugeError

if TYPE_CHECKING:
    from sink.quarantine import Kept, Quarantine


@click.group()
def quarantine() -> None:
    """Look at stream entries that no sink could use; send them again, or drop them."""


@quarantine.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_options(*LOG)
def list_(as_json: bool, config_file: Path | None, **given: Any) -> None:
    """List all entries, the oldest first: when, which snapshot, and what is wrong with it."""
    with _opened(config_file, given) as opened:
        entries = opened.entries()
    if as_json:
        import msgspec  # noqa: PLC0415  help need not load it

        click.echo(msgspec.json.format(msgspec.json.encode(entries)).decode())
    elif entries:
        click.echo("\n".join(_line(kept) for kept in entries))
    else:
        click.echo("The quarantine is empty.")


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All entries that there are now.")
@config_options(*LOG)
def retry(ids: tuple[str, ...], everything: bool, config_file: Path | None, **given: Any) -> None:
    """Put entries back onto the stream, for sinks to try again: after an upgrade, or once the database takes them.

    What was quarantined without its body cannot be sent again. Status 1 if anything was not.
    """
    with _opened(config_file, given) as opened:
        _each(_chosen(opened, ids, everything=everything), opened.retry, "sent again")


@quarantine.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "everything", is_flag=True, help="All entries that there are now.")
@config_options(*LOG)
def drop(ids: tuple[str, ...], everything: bool, config_file: Path | None, **given: Any) -> None:
    """Delete entries for good. Status 1 if one was not there."""
    with _opened(config_file, given) as opened:
        _each(_chosen(opened, ids, everything=everything), opened.drop, "dropped")


@contextlib.contextmanager
def _opened(config_file: Path | None, given: dict[str, Any]) -> "Iterator[Quarantine]":
    configuration = load(config_file, given, {Role.QUARANTINE})
    start_log(configuration)
    from sink.quarantine import Quarantine  # noqa: PLC0415  help need not load it

    assert configuration.bus is not None
    with contextlib.closing(Quarantine(configuration.bus.url)) as opened:
        yield opened


def _chosen(opened: "Quarantine", ids: tuple[str, ...], *, everything: bool) -> Sequence[str]:
    if bool(ids) == everything:
        raise click.UsageError("name the ids that `depthgauge quarantine list` shows, or --all of them")
    return [kept.id for kept in opened.entries()] if everything else tuple(dict.fromkeys(ids))


def _each(ids: Sequence[str], do: Callable[[str], str | None], done: str) -> None:
    problems = {}
    for name in ids:
        problem = do(name)
        if problem is not None:
            problems[name] = problem
    click.echo(f"{len(ids) - len(problems)} {done}")
    if problems:
        lines = "".join(f"\n  {name}: {problem}" for name, problem in problems.items())
        raise DepthgaugeError(f"{len(problems)} of {len(ids)} not {done}:{lines}")


def _line(kept: "Kept") -> str:
    seen = "-" if kept.size is None else f"{kept.size} bytes{'' if kept.complete else ', body not kept'}"
    parts = [f"host={kept.host}", f"run={kept.run}", f"seq={kept.seq}", f"slot={kept.slot}"]
    return (
        f"{kept.id}  {kept.quarantined_at.isoformat()}  {kept.reason or '-'}  {' '.join(parts)}  {seen}: {kept.error}"
    )
