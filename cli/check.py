"""``depthgauge check``: look at everything, say what is wrong and how to mend it."""

import json
import shutil
import stat
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from cli.aspects import (
    bus,
    database,
    health,
    history,
    host,
    listeners,
    postgres,
    redis_servers,
    spool,
    supervisors,
    web,
)
from cli.aspects.finding import Finding, Look, Status, Subject, run_all
from cli.config import load, mentions
from cli.effective import show
from cli.inputs import Configuration, Inputs
from cli.schema import Role
from depthgauge import logs
from depthgauge.errors import ConfigError
from exporter.settings import ExporterSettings, RedisSettings

PROC: Final = Path("/proc")


def run(inputs: Inputs, *, roles: frozenset[Role] | None, as_json: bool, print_config: bool, proc: Path = PROC) -> int:
    """Check and print; return 1 if anything is wrong. Without ``roles`` the configuration tells which daemons there are."""
    # What the sources would log is among the findings.
    logs.configure("error", "logfmt")
    findings, configurations = look(inputs, roles=roles, proc=proc)
    if print_config and not as_json:
        for role, configuration in configurations.items():
            print(show(configuration, {role}))
    print(as_text(findings, shutil.get_terminal_size().columns) if not as_json else _as_json(findings))
    return 1 if any(finding.status is Status.ERROR for finding in findings) else 0


def look(
    inputs: Inputs, *, roles: frozenset[Role] | None = None, proc: Path = PROC
) -> tuple[list[Finding], Mapping[Role, Configuration]]:
    """Return everything that was found, and the configuration of each daemon that has a good one."""
    findings, configurations = _configurations(inputs, roles)
    exporter = configurations[Role.EXPORTER].exporter if Role.EXPORTER in configurations else None
    sink = configurations[Role.SINK].sink if Role.SINK in configurations else None
    run_ids: dict[str, str] = {}
    install = Subject(aspect="install", target=host.DISTRIBUTION)
    looks: list[tuple[Subject, Look]] = [(install, host.look_at_distributions)]
    if exporter is not None:
        looks += _exporter_looks(exporter, run_ids, proc)
        past = configurations[Role.EXPORTER].history
        if past is not None:
            looks.append((Subject(aspect="history", target="exporter"), partial(history.look, past.dsn)))
    if sink is not None:
        looks.append((Subject(aspect="database", target="sink"), partial(database.look, sink.dsn)))
        looks.append((Subject(aspect="web", target="sink"), partial(host.look_at_ports, "sink", sink.web)))
    for configuration in list(configurations.values())[:1]:
        looks.append((Subject(aspect="web", target="config"), partial(web.look, configuration)))
    findings += run_all(looks)
    # The bus knows what other hosts call the servers that were met above.
    carrier = (exporter and exporter.bus) or (sink and sink.bus)
    if carrier:
        look_at_bus = partial(bus.look, carrier, set(configurations), run_ids)
        findings += run_all([(Subject(aspect="bus", target="bus"), look_at_bus)])
    return findings, configurations


def _exporter_looks(settings: ExporterSettings, run_ids: dict[str, str], proc: Path) -> Iterator[tuple[Subject, Look]]:
    for each in settings.supervisors:
        yield Subject(aspect="supervisor", target=each.name), partial(supervisors.look, each, proc)
        look_at_listener = partial(listeners.look, each.name, settings.state_dir, has_bus=settings.bus is not None)
        yield Subject(aspect="listener", target=each.name), look_at_listener
    for server in settings.redis:
        look_at_redis = partial(_redis, server, run_ids, with_health=settings.collectors.redis)
        yield Subject(aspect="redis", target=server.name), look_at_redis
    for watched in settings.databases if settings.collectors.postgres else ():
        yield Subject(aspect="postgres", target=watched.name), partial(postgres.look, watched)
    if settings.collectors.host:
        yield Subject(aspect="host", target=settings.host), partial(health.look_at_host, settings, proc)
    for probe in settings.probes if settings.collectors.probe else ():
        yield Subject(aspect="probe", target=probe.name), partial(health.look_at_probe, probe)
    if settings.state_dir is not None:
        subject = Subject(aspect="state_dir", target=str(settings.state_dir))
        yield subject, partial(host.look_at_state_dir, settings.state_dir)
    if settings.bus is not None:
        yield Subject(aspect="spool", target="spool"), partial(spool.look, settings)
    yield Subject(aspect="web", target="exporter"), partial(host.look_at_ports, "exporter", settings.web)


def _redis(settings: RedisSettings, run_ids: dict[str, str], *, with_health: bool) -> Sequence[Finding]:
    looked = redis_servers.look(settings)
    if looked.run_id is not None:
        run_ids[settings.name] = looked.run_id
    # Of a server that cannot be read at all one finding is enough.
    if not with_health or any(finding.status is Status.ERROR for finding in looked.findings):
        return looked.findings
    return [*looked.findings, *health.look_at_redis(settings)]


def _configurations(
    inputs: Inputs, roles: frozenset[Role] | None
) -> tuple[list[Finding], Mapping[Role, Configuration]]:
    """Return what is wrong with the configuration, and the configuration for each role where nothing is."""
    made: dict[Role, Configuration] = {}
    problems: dict[str, None] = {}
    if roles is None:
        roles = frozenset({Role.EXPORTER, Role.SINK} if mentions(inputs, "sink") else {Role.EXPORTER})
    for role in sorted(roles, key=lambda role: role.value):
        try:
            made[role] = load(inputs, frozenset({role}))
        except ConfigError as exc:
            problems |= dict.fromkeys(exc.problems)
    file = next((each.file for each in made.values()), inputs.file)
    subject = Subject(aspect="config", target=str(file or "no file"))
    findings = [subject.error(problem) for problem in problems]
    if not problems:
        findings.append(subject.ok(f"good, for {' and '.join(role.value for role in made)}"))
    findings += [subject.ok(note) for note in dict.fromkeys(n for each in made.values() for n in each.notes)]
    findings += [subject.warning(text) for text in dict.fromkeys(w for each in made.values() for w in each.warnings)]
    if file is not None and made:
        findings += _openness(subject, file, next(iter(made.values())))
    return findings, made


def _openness(subject: Subject, file: Path, configuration: Configuration) -> Sequence[Finding]:
    """Warn of a file that holds a password and may be read by everybody."""
    holds = any(
        key.secret and key.name in node.values and node.values[key.name].origin.line
        for nodes in configuration.tables.values()
        for node in nodes
        for key in node.section.keys
        if key.name == "password"
    )
    if holds and file.stat().st_mode & stat.S_IROTH:
        return [
            subject.warning("it holds a password and everybody may read it", f"chmod o-r {file}, or use password_file")
        ]
    return []


def as_text(findings: Sequence[Finding], width: int) -> str:
    """Return a table, hints indented below."""
    titles = [f"{finding.aspect} {finding.target}" for finding in findings]
    column = min(44, max((len(title) for title in titles), default=0))
    lines = []
    for finding, title in zip(findings, titles, strict=True):
        head = f"{finding.status.value:<8} {title:<{column}}  "
        hang = " " * 11
        body = textwrap.wrap(
            finding.message, max(40, width - len(head)), break_long_words=False, break_on_hyphens=False
        )
        lines.append(head + (body[0] if body else ""))
        lines += [" " * len(head) + line for line in body[1:]]
        if finding.hint:
            lines += textwrap.wrap(
                finding.hint, width, initial_indent=hang + "-> ", subsequent_indent=hang + "   ", break_long_words=False
            )
    errors, warnings = (sum(f.status is status for f in findings) for status in (Status.ERROR, Status.WARNING))
    return "\n".join([*lines, "", f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"])


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _as_json(findings: Sequence[Finding]) -> str:
    good = not any(finding.status is Status.ERROR for finding in findings)
    return json.dumps({"ok": good, "findings": [asdict(finding) for finding in findings]}, indent=2)
