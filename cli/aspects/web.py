"""What the daemons serve, and who may read what protects it."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli import build_web
from cli.aspects.finding import Finding, Subject
from cli.inputs import Configuration
from cli.reading import SecretFile
from depthgauge.settings import WebConfig
from exporter import api_token


def look(configuration: Configuration) -> Sequence[Finding]:
    """Look at the web config file and at the rights of the files with secrets; both can be read, or there was an error."""
    nodes = configuration.tables.get("web", ())
    exporter = configuration.exporter
    web = next(each.web for each in (exporter, configuration.sink) if each is not None)
    findings: list[Finding] = []
    if nodes and "token" in nodes[0].values and isinstance(nodes[0].values["token"].value, SecretFile):
        findings += _closed(nodes[0].values["token"].value.path, "the API's tokens")
    elif not web.tokens and exporter is not None and exporter.state_dir is not None:
        findings += _closed(exporter.state_dir / api_token.FILE, "the API's token")
    path = build_web.path_of(nodes[0], configuration.file) if nodes else None
    if path is not None:
        findings.append(Subject(aspect="web", target=str(path)).ok(_words(web.config)))
        findings += _config_files(path, web.config)
    return findings


def _words(config: WebConfig) -> str:
    tls, users = config.tls, len(config.users)
    said = ["no TLS" if tls is None else "TLS with client certificates" if tls.client_ca else "TLS"]
    said.append(f"{users} user{'' if users == 1 else 's'} with a password" if users else "no basic auth")
    return ", ".join(said)


def _config_files(path: Path, config: WebConfig) -> Iterator[Finding]:
    if config.tls is None:
        if config.users:
            yield Subject(aspect="web", target=str(path)).warning(
                "passwords go over the network in clear without TLS", "add tls_server_config, or let a proxy do it"
            )
        return
    key = config.tls.key.path
    yield from _closed(path if key is None else key, "the key of TLS")


def _closed(path: Path, what: str) -> Iterator[Finding]:
    """Warn of a file that everybody may read."""
    subject = Subject(aspect="web", target=str(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as exc:
        yield subject.error(f"cannot be looked at: {exc.strerror}", "let the daemon's user into its folder")
        return
    if mode & stat.S_IROTH:
        yield subject.warning(f"holds {what}, and everybody may read it", f"chmod o-r {path}")
