"""TLS of the server: certificates that change, and certificates of clients."""

import contextlib
import logging
import ssl
import threading
from pathlib import Path

import pytest

from depthgauge.settings import Pem, TlsSettings, WebConfig
from depthgauge.tls import TlsError, make_context, may_enter
from tests.plugins.certificates import Authority
from tests.plugins.served import Client, MakeServer, tls_config
from tests.plugins.waiting import wait_for


def serial(client: Client) -> str:
    """Return the serial number of the certificate that the server shows now."""
    with client.raw() as sock:
        assert isinstance(sock, ssl.SSLSocket)
        shown = sock.getpeercert()
    assert shown
    return str(shown["serialNumber"])


def replace(new: tuple[Path, Path], old: tuple[Path, Path]) -> None:
    """Put a certificate and its key in the place of others, one after the other, as certbot does."""
    for fresh, stale in zip(new, old, strict=True):
        fresh.replace(stale)


def test_a_certificate_is_exchanged_under_load(make_server: MakeServer, authority: Authority) -> None:
    server = make_server(config=tls_config(authority, "web"))
    client, stop = Client(server, authority.trusting()), threading.Event()
    failures: list[BaseException] = []

    def load() -> None:
        while not stop.is_set():
            try:
                client.scrape()
            except (OSError, AssertionError) as exc:
                failures.append(exc)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        with client.raw() as kept:
            seen = {serial(client)}
            for number in range(3):
                before = serial(client)
                replace(authority.issue(f"new-{number}"), (authority.folder / "web.crt", authority.folder / "web.key"))
                seen.add(wait_for(lambda before=before: (now := serial(client)) != before and now))  # type: ignore[misc]
            kept.sendall(b"HEAD /metrics HTTP/1.1\r\n\r\n")
            assert kept.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) == 4
    assert failures == []


def test_a_broken_new_certificate_keeps_the_old_one_and_is_told_once(
    make_server: MakeServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(config=tls_config(authority, "web"))
    client = Client(server, authority.trusting())
    before = serial(client)
    (authority.folder / "web.crt").write_text("no certificate")
    assert [serial(client) for _ in range(5)] == [before] * 5
    assert server.gate.certificate_errors == 1
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert "goes on with the certificate it has" in told[0].getMessage()
    (authority.folder / "web.crt").unlink()
    assert serial(client) == before
    replace(authority.issue("new"), (authority.folder / "web.crt", authority.folder / "web.key"))
    assert serial(client) != before


def test_client_certificates(make_server: MakeServer, authority: Authority, tmp_path: Path) -> None:
    config = tls_config(
        authority, "web", client_ca=Pem(path=authority.ca_file), client_required=True, client_sans=("scraper.example",)
    )
    server = make_server(config=config)
    stranger = Authority(tmp_path / "strange")
    for identity in (None, authority.issue("a", "other.example"), stranger.issue("b", "scraper.example")):
        with pytest.raises(OSError, match=r"(?i)required|unknown ca|reset|closed|EOF|remote end|broken pipe"):
            Client(server, authority.trusting(identity)).scrape()
    assert wait_for(lambda: server.handshakes_failed >= 3)
    assert Client(server, authority.trusting(authority.issue("c", "scraper.example"))).scrape() < 5


def test_addresses_among_the_names_of_clients_are_told_however_they_are_written() -> None:
    certificate = {"subjectAltName": (("IP Address", "FD00:0:0:0:0:0:0:1"), ("DNS", "scraper.example"))}
    assert may_enter(certificate, ("fd00::1",))
    assert may_enter(certificate, ("other", "scraper.example"))
    assert not may_enter(certificate, ("fd00::2", "10.0.0.1"))


def test_a_client_certificate_if_given(make_server: MakeServer, authority: Authority, tmp_path: Path) -> None:
    server = make_server(config=tls_config(authority, "web", client_ca=Pem(path=authority.ca_file)))
    assert Client(server, authority.trusting()).scrape() < 5
    assert Client(server, authority.trusting(authority.issue("a", "x.example"))).scrape() < 5
    strange = Authority(tmp_path / "strange").issue("b", "x.example")
    with pytest.raises(OSError, match=r"(?i)unknown ca|reset|closed|EOF|remote end|broken pipe"):
        Client(server, authority.trusting(strange)).scrape()


def test_versions_and_suites(make_server: MakeServer, authority: Authority) -> None:
    old = authority.trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    only_new = Client(make_server(config=tls_config(authority, "a", min_version="TLS13")), old)
    with pytest.raises(ssl.SSLError):
        only_new.scrape()
    suite = "ECDHE-ECDSA-AES256-GCM-SHA384"
    picky = Client(make_server(config=tls_config(authority, "b", max_version="TLS12", ciphers=(suite,))), old)
    with contextlib.closing(picky.raw()) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        cipher = sock.cipher()
    assert cipher is not None
    assert cipher[0] == suite


def test_the_text_itself(make_server: MakeServer, authority: Authority) -> None:
    from depthgauge.secrets import Secret

    cert, key = authority.issue("web")
    texts = [Pem(text=Secret(path.read_text())) for path in (cert, key)]
    cert.unlink()
    key.unlink()
    server = make_server(config=WebConfig(tls=TlsSettings(cert=texts[0], key=texts[1])))
    assert Client(server, authority.trusting()).scrape() < 5
    assert server.urls[0].startswith("https://")


def test_what_cannot_be_used_is_told(authority: Authority) -> None:
    cert, key = authority.issue("web")
    other, _ = authority.issue("other")
    encrypted = authority.folder / "locked.key"
    encrypted.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBC\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    for paths, part in (
        ((authority.folder / "none", key), "cert"),
        ((cert, authority.folder / "none"), "key"),
        ((other, key), "key"),
        ((key, cert), "cert"),
        ((cert, encrypted), "cert"),
    ):
        with pytest.raises(TlsError) as caught:
            make_context(TlsSettings(cert=Pem(path=paths[0]), key=Pem(path=paths[1])))
        assert caught.value.part == part, caught.value
