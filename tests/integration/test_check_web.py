"""What ``check`` says of what is served, and ``healthcheck`` of daemons behind TLS and passwords."""

import os
from pathlib import Path

import bcrypt
from click.testing import CliRunner

from cli.aspects.finding import Status
from cli.check import look
from cli.main import main
from depthgauge.httpd import Server
from depthgauge.secrets import Secret
from depthgauge.settings import Pem, WebConfig
from tests.plugins.certificates import Authority
from tests.plugins.served import MakeServer, port_of, tls_config
from tests.plugins.settings import MakeInputs

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
TLS = "tls_server_config: {cert_file: tls/web.crt, key_file: tls/web.key}\n"
USERS = f"basic_auth_users: {{ann: {HASH}}}\n"
NOTHING = "supervisor = []\nredis = []\n"


def healthcheck(folder: Path, server: Server, yaml: str) -> int:
    (folder / "web.yml").write_text(yaml)
    config = folder / "depthgauge.toml"
    config.write_text(
        f'[web]\nlisten = ["127.0.0.1:{port_of(server)}"]\nconfig_file = "web.yml"\ntoken_file = "{folder}/closed"\n'
    )
    return CliRunner().invoke(main, ["healthcheck", "--config.file", str(config)]).exit_code


def test_a_healthcheck_by_tls(make_server: MakeServer, authority: Authority, tmp_path: Path) -> None:
    config = tls_config(authority)
    server = make_server(config=config)
    # The fixture's application has no such page: it is the server that is spoken with.
    assert healthcheck(tmp_path, server, TLS) == 1
    locked = make_server(config=WebConfig(tls=config.tls, users=(("ann", Secret(HASH)),)))
    # Neither the key nor the tokens need be readable for it.
    (tmp_path / "tls" / "web.key").unlink()
    assert healthcheck(tmp_path, locked, TLS + USERS) == 0
    assert healthcheck(tmp_path, locked, USERS) == 1


def test_a_healthcheck_that_has_no_client_certificate(
    make_server: MakeServer, authority: Authority, tmp_path: Path
) -> None:
    config = tls_config(authority, client_ca=Pem(path=authority.ca_file), client_required=True)
    yaml = TLS.replace("}", ", client_ca_file: tls/ca.pem, client_auth_type: RequireAndVerifyClientCert}")
    server = make_server(config=config)
    assert [healthcheck(tmp_path, server, yaml) for _ in range(10)] == [0] * 10


def test_a_check_of_a_port_where_a_locked_daemon_listens(
    make_server: MakeServer, make_inputs: MakeInputs, authority: Authority, tmp_path: Path
) -> None:
    server = make_server(config=WebConfig(tls=tls_config(authority).tls, users=(("ann", Secret(HASH)),)))
    (tmp_path / "web.yml").write_text(TLS + USERS)
    text = f'{NOTHING}[web]\nlisten = ["127.0.0.1:{port_of(server)}"]\nconfig_file = "web.yml"\n'
    findings, _ = look(make_inputs(text))
    told = {finding.target: finding for finding in findings if finding.aspect == "web"}
    assert told[f"exporter 127.0.0.1:{port_of(server)}"].message == "in use by a daemon that says it is healthy"
    assert told[str(tmp_path / "web.yml")].message == "TLS, 1 user with a password"


def test_a_check_of_files_that_everybody_may_read(
    make_inputs: MakeInputs, authority: Authority, tmp_path: Path
) -> None:
    _, key = authority.issue("web")
    token = tmp_path / "token"
    token.write_text("x" * 32)
    (tmp_path / "web.yml").write_text(TLS)
    text = f'{NOTHING}[web]\nlisten = ["127.0.0.1:0"]\nconfig_file = "web.yml"\ntoken_file = "token"\n'
    for path in (key, token):
        path.chmod(0o600)
    assert [f for f in look(make_inputs(text))[0] if f.status is not Status.OK and f.aspect == "web"] == []
    for path in (key, token):
        path.chmod(0o644)
    found = [f for f in look(make_inputs(text))[0] if f.status is not Status.OK and f.aspect == "web"]
    assert {(f.target, f.hint) for f in found} == {(str(path), f"chmod o-r {path}") for path in (key, token)}


def test_a_check_of_passwords_without_tls(make_inputs: MakeInputs, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(USERS)
    findings, _ = look(make_inputs(f'{NOTHING}[web]\nlisten = ["127.0.0.1:0"]\nconfig_file = "web.yml"\n'))
    (warned,) = [f for f in findings if f.status is Status.WARNING and f.aspect == "web"]
    assert "in clear" in warned.message


def test_a_check_of_a_bad_web_config(make_inputs: MakeInputs, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("http_server_config:\n  http3: true\n")
    findings, made = look(make_inputs(f'{NOTHING}[web]\nlisten = ["127.0.0.1:0"]\nconfig_file = "web.yml"\n'))
    (wrong,) = [f for f in findings if f.status is Status.ERROR]
    assert wrong.message.startswith(f"{tmp_path}/web.yml:2: http_server_config.http3: is not known here")
    assert made == {}


def test_commands_that_serve_nothing_read_none_of_it(make_inputs: MakeInputs, tmp_path: Path) -> None:
    from cli.config import load
    from cli.schema import Role

    text = '[sink]\ndsn = "postgresql://x"\n[web]\nconfig_file = "none.yml"\ntoken_file = "none"\n'
    assert not os.path.lexists(tmp_path / "none.yml")
    assert load(make_inputs(text), frozenset({Role.MIGRATE})).dsn is not None
