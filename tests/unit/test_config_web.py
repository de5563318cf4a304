"""Settings of what is served: tokens, origins, limits and the web config file."""

from pathlib import Path

import pytest

from cli.config import load_exporter, load_sink
from depthgauge.errors import ConfigError
from depthgauge.secrets import Secret
from tests.plugins.settings import MakeInputs

ONE, TWO = "a" * 16, "b.-_~+/" * 3 + "=="


def tokens(make_inputs: MakeInputs, text: str = "", **environ: str) -> list[str]:
    return [each.reveal() for each in load_exporter(make_inputs(text, environ=environ)).web.tokens]


def test_tokens(make_inputs: MakeInputs, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"\n# the first\n{ONE}\r\n\n  {TWO}  \n{ONE}\n")
    assert tokens(make_inputs) == []
    assert tokens(make_inputs, f'[web]\ntoken = "{ONE}"') == [ONE]
    assert tokens(make_inputs, f'[web]\ntoken = """\n{ONE}\n{TWO}\n"""') == [ONE, TWO]
    assert tokens(make_inputs, '[web]\ntoken_file = "token"') == [ONE, TWO]
    assert tokens(make_inputs, DEPTHGAUGE_API_TOKEN=f"{ONE}, {TWO}") == [ONE, TWO]
    assert tokens(make_inputs, DEPTHGAUGE_API_TOKEN=f"{ONE}\n{TWO}") == [ONE, TWO]
    assert tokens(make_inputs, DEPTHGAUGE_API_TOKEN_FILE=str(tmp_path / "token")) == [ONE, TWO]


@pytest.mark.parametrize(
    ("token", "told"),
    [
        ("short", "token 1 has 5 characters"),
        ("hunter2 hunter2 hunter2", "a character that no token may have"),
        ("# nothing", "holds no token"),
        ("x" * 513, "has 513 characters"),
        ("\\n".join(f"hunter2-number-{number}" for number in range(101)), "101 tokens"),
    ],
    ids=["short", "blanks", "nothing", "long", "many"],
)
def test_what_is_no_token(make_inputs: MakeInputs, token: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_exporter(make_inputs(f'[web]\ntoken = "{token}"'))
    assert told in str(caught.value)
    assert "depthgauge.toml:2: web.token" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "example.org",
        "https://a.example/",
        "https://a.example/x",
        "https://A.example",
        "https://a.example:443",
        "ftp://a",
        "https://u@a.example",
        "https://a:x",
    ],
)
def test_what_is_no_origin(make_inputs: MakeInputs, origin: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.cors_origins: item 1"):
        load_exporter(make_inputs(f'[web]\ncors_origins = ["{origin}"]'))


def test_all_of_it(make_inputs: MakeInputs, tmp_path: Path) -> None:
    text = """
[web]
cors_origins = ["https://a.example", "http://localhost:3000"]
rate_limit = 0
rate_burst = 7
max_connections_per_client = 3
config_file = "web.yml"
[bus]
url = "redis://x"
[sink]
dsn = "postgresql://x"
"""
    (tmp_path / "web.yml").write_text("http_server_config: {headers: {X-Frame-Options: sameorigin}}\n")
    for web in (load_exporter(make_inputs(text)).web, load_sink(make_inputs(text)).web):
        assert web.cors_origins == ("https://a.example", "http://localhost:3000")
        assert (web.rate_limit, web.rate_burst, web.max_connections_per_client) == (0, 7, 3)
        assert web.config.headers == (("X-Frame-Options", "sameorigin"),)


def test_the_file_by_flag_and_variable(make_inputs: MakeInputs, tmp_path: Path) -> None:
    path = tmp_path / "other" / "web.yml"
    path.parent.mkdir()
    path.write_text("basic_auth_users: {ann: $2b$04$wxCPeSH.irmW0pYBQxsY4evxRGW7.sZVRjmHk3/0fMYNiTxmr71iS}\n")
    by_flag = load_exporter(make_inputs("", flags={"web.config.file": (str(path),)}))
    by_variable = load_exporter(make_inputs("", environ={"DEPTHGAUGE_WEB_CONFIG_FILE": str(path)}))
    assert (
        [name for name, _ in by_flag.web.config.users] == [name for name, _ in by_variable.web.config.users] == ["ann"]
    )
    assert isinstance(by_flag.web.config.users[0][1], Secret)
    with pytest.raises(ConfigError, match=r"--web\.config\.file: web\.config_file: cannot read"):
        load_exporter(make_inputs("", flags={"web.config.file": ("/nowhere/web.yml",)}))
