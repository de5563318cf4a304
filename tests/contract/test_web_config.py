"""The web config file as promtool takes it, and where we are stricter, or it is older."""

import subprocess
from pathlib import Path

import pytest

from cli.build_web import read
from cli.reading import Layer, Origin, Problems
from depthgauge.settings import RateLimit, WebConfig
from tests.plugins.certificates import Authority

HASH = "$2b$04$wxCPeSH.irmW0pYBQxsY4evxRGW7.sZVRjmHk3/0fMYNiTxmr71iS"
PAIR = "cert_file: tls/web.crt, key_file: tls/web.key"
NOWHERE = Origin(Layer.DEFAULT, "test")


def ours(path: Path) -> tuple[WebConfig, tuple[str, ...]]:
    problems = Problems()
    return read(path, NOWHERE, problems, keys=True), problems.sorted()


def theirs(path: Path) -> bool:
    done = subprocess.run(
        ["promtool", "check", "web-config", str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode in {0, 1}, done
    return done.returncode == 0


@pytest.fixture
def folder(authority: Authority, tmp_path: Path) -> Path:
    authority.issue("web")
    authority.issue("other")
    (tmp_path / "tls" / "no.pem").write_text("this is no certificate\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


GOOD = [
    "",
    "# only a comment\n",
    "tls_server_config: {}",
    "tls_server_config:\n",
    f"tls_server_config: {{{PAIR}}}",
    f"tls_server_config: {{{PAIR}, min_version: TLS13}}",
    f"tls_server_config: {{{PAIR}, min_version: TLS12, max_version: TLS12, cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]}}",
    f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256], prefer_server_cipher_suites: false}}",
    f"tls_server_config: {{{PAIR}, client_ca_file: tls/ca.pem, client_auth_type: RequireAndVerifyClientCert}}",
    f"tls_server_config: {{{PAIR}, client_ca_file: tls/ca.pem, client_auth_type: VerifyClientCertIfGiven}}",
    f"tls_server_config: {{{PAIR}, client_auth_type: NoClientCert}}",
    "http_server_config: {http2: false}",
    "http_server_config: {http2: yes, headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff}}",
    "http_server_config: {headers: {Strict-Transport-Security: max-age=60, X-XSS-Protection: '0'}}",
    "http_server_config: {headers: {Content-Security-Policy: \"default-src 'self'\"}}",
    f"basic_auth_users: {{ann: {HASH}, bob: {HASH.replace('2b', '2y', 1)}, cy: {HASH.replace('2b', '2a', 1)}}}",
    f"basic_auth_users:\n  4711: {HASH}\n",
]
BAD = [
    ("a", "has to be a mapping"),
    ("[]", "has to be a mapping"),
    ("a: [", "no valid YAML"),
    ("tls_config: {}", "web.yml:1: tls_config: is not known here"),
    ("http_server_config:\n  http3: true\n", "web.yml:2: http_server_config.http3: is not known here"),
    ("http_server_config: {http2: maybe}", "true or false"),
    ("http_server_config: {headers: {Server: x}}", "headers.Server: is not known here"),
    ("http_server_config: {headers: {x-frame-options: deny}}", "is not known here"),
    ("http_server_config: {headers: {X-Frame-Options: DENY}}", "has to be deny or sameorigin"),
    ("tls_server_config: {cert_file: tls/web.crt}", "has no key_file"),
    ("tls_server_config: {key_file: tls/web.key}", "has no cert_file"),
    ("tls_server_config: {cert_file: tls/none.crt, key_file: tls/web.key}", "No such file"),
    ("tls_server_config: {cert_file: tls/web.crt, key_file: tls/other.key}", "does not belong to the certificate"),
    ("tls_server_config: {cert_file: tls/no.pem, key_file: tls/web.key}", "no PEM"),
    (f"tls_server_config: {{{PAIR}, min_version: TLS9}}", "is 'TLS9'"),
    (f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}", "the suite 'TLS_RSA_WITH_RC4"),
    (f"tls_server_config: {{{PAIR}, client_ca_file: tls/ca.pem}}", "needs client_auth_type"),
    (f"tls_server_config: {{{PAIR}, client_auth_type: Perhaps}}", "'Perhaps' is no policy"),
    (
        f"tls_server_config: {{{PAIR}, client_ca_file: tls/none.pem, client_auth_type: RequireAndVerifyClientCert}}",
        "No such file",
    ),
    ("basic_auth_users: {ann: secret}", "no bcrypt hash"),
    ("basic_auth_users: [ann]", "has to be a mapping"),
    (f"basic_auth_users:\n  ann: {HASH}\n  ann: {HASH}\n", "web.yml:3: basic_auth_users.ann: is there twice"),
    (f"tls_server_config: {{{PAIR}}}\ntls_server_config: {{{PAIR}}}\n", "web.yml:2: tls_server_config: is there twice"),
]
STRICTER = [
    ("tls_server_config: {cert_file: '', key_file: ''}", "cert_file: is empty"),
    (f"tls_server_config: {{{PAIR}, client_ca_file: '', client_auth_type: RequireAndVerifyClientCert}}", "is empty"),
    ("basic_auth_users: {}", "has no user"),
    (f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]}}", "the suite 'TLS_RSA_WITH_AES"),
    ("tls_server_config: {min_version: TLS12}", "has no cert_file"),
    (f"tls_server_config: {{{PAIR}, min_version: TLS10}}", "older ones are not safe"),
    (f"tls_server_config: {{{PAIR}, min_version: TLS13, max_version: TLS12}}", "allows no version"),
    (f"tls_server_config: {{{PAIR}, curve_preferences: [CurveP256]}}", "curve_preferences: is not known here"),
    (f"tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert}}", "without verifying them"),
    (f"tls_server_config: {{{PAIR}, client_auth_type: RequireAndVerifyClientCert}}", "needs client_ca_file"),
    (f"basic_auth_users: {{'a:b': {HASH}}}", "no client can send"),
    (f"basic_auth_users: {{ann: {HASH.replace('$04$', '$20$')}}}", "has the cost 20"),
    (f"basic_auth_users: {{ann: &hash {HASH}, bob: *hash}}", "aliases"),
    ('http_server_config: {headers: {X-XSS-Protection: "a\\r\\nSet-Cookie: b"}}', "one line of ASCII"),
]
NEWER = [
    "rate_limit: {interval: 1s, burst: 20}",
    f"tls_server_config: {{{PAIR}, client_ca_file: tls/ca.pem, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [x]}}",
]
"""What exporter-toolkit's documentation has, and promtool 2.42 knows nothing of."""


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("text", GOOD)
def test_good_for_both(folder: Path, text: str) -> None:
    path = write(folder, text)
    assert ours(path)[1] == ()
    assert theirs(path)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(("text", "told"), BAD)
def test_bad_for_both(folder: Path, text: str, told: str) -> None:
    path = write(folder, text)
    problems = ours(path)[1]
    assert any(told in problem for problem in problems), problems
    assert not theirs(path)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(("text", "told"), STRICTER)
def test_what_would_not_protect_is_refused(folder: Path, text: str, told: str) -> None:
    path = write(folder, text)
    problems = ours(path)[1]
    assert any(told in problem for problem in problems), problems
    assert theirs(path)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("text", NEWER)
def test_what_this_promtool_is_too_old_for(folder: Path, text: str) -> None:
    path = write(folder, text)
    assert ours(path)[1] == ()
    done = subprocess.run(["promtool", "--version"], capture_output=True, text=True, check=True)
    if "version 2.42." in done.stdout + done.stderr:
        assert not theirs(path)


def test_what_is_made_of_it(folder: Path) -> None:
    inline = "".join(f"    {line}\n" for line in (folder / "tls" / "web.key").read_text().splitlines())
    config, problems = ours(
        write(
            folder,
            f"rate_limit: {{interval: 1m30s, burst: 20}}\nbasic_auth_users: {{ann: {HASH}}}\n"
            f"tls_server_config:\n  cert_file: tls/web.crt\n  key: |\n{inline}",
        )
    )
    assert problems == ()
    assert config.rate_limit == RateLimit(interval=90.0, burst=20)
    assert config.tls is not None
    assert config.tls.cert.path == folder / "tls" / "web.crt"
    assert config.tls.key.text is not None
    assert "PRIVATE" not in repr(config)
    assert HASH not in repr(config)


def test_every_mistake_is_told_at_once(folder: Path) -> None:
    text = "rate_limit:\n  interval: soon\n  burst: 0\nbasic_auth_users:\n  ann: hunter2\nzzz: 1\n"
    problems = ours(write(folder, text))[1]
    assert [problem.split("web.yml:")[1].split(": ")[0] for problem in problems] == ["2", "3", "5", "6"]
    assert "hunter2" not in "".join(problems)


def test_suites_of_the_newest_version_only(folder: Path) -> None:
    config, problems = ours(write(folder, f"tls_server_config: {{{PAIR}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}"))
    assert problems == ()
    assert config.tls is not None
    assert (config.tls.min_version, config.tls.ciphers) == ("TLS13", ())
