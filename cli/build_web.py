"""From the web config file to its settings, with what is wrong in it."""

from functools import partial
from pathlib import Path

from cli import web_file
from cli.kinds import Wrong
from cli.reading import Layer, Node, Origin, Problems, read_text
from depthgauge.settings import WebConfig
from depthgauge.tls import TlsError, make_context

NAME = "web.config_file"


def path_of(node: Node, file: Path | None) -> Path | None:
    """Return where the web config file is, for the table ``[web]`` of a configuration file."""
    if "config_file" not in node.values:
        return None
    given = node.values["config_file"]
    folder = file.parent if file is not None and given.origin.layer is Layer.FILE else Path()
    return folder / str(given.value)


def read(path: Path, origin: Origin, problems: Problems, *, keys: bool) -> WebConfig:
    """Return what the file says; with ``keys`` its certificates are tried too. ``origin`` is where the file is named."""
    try:
        text = read_text(path)
    except Wrong as exc:
        problems.add(origin, NAME, str(exc))
        return WebConfig()
    before = len(problems.found)
    config = web_file.read(text, path.parent, partial(_complain, problems, path))
    if keys and config.tls is not None and len(problems.found) == before:
        try:
            make_context(config.tls)
        except TlsError as exc:
            pem = getattr(config.tls, exc.part)
            shown = str(pem.path) if pem.path is not None else "the text in it"
            _complain(problems, path, 0, f"tls_server_config.{exc.part}", f"{shown}: {exc}")
    return config


def _complain(problems: Problems, path: Path, line: int, name: str, text: str) -> None:
    problems.add(Origin(Layer.FILE, f"{path}:{line}" if line else str(path), line), name, text)
