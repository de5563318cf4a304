"""Certificates of an authority that lives as long as a test."""

import ssl
from datetime import datetime
from pathlib import Path

import pytest
import trustme


class Authority:
    """Issues certificates into files; ``trusting`` gives clients that believe it."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def write_to(self, file: Path) -> None:
        """Write the authority's own certificate somewhere else, too."""
        self._ca.cert_pem.write_to_path(str(file))

    def issue(self, name: str, *identities: str) -> tuple[Path, Path]:
        """Write a certificate and its key as ``name``.crt and ``name``.key; return the paths."""
        leaf = self._ca.issue_cert(*(identities or ("localhost", "127.0.0.1")))
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        key.chmod(0o600)
        return cert, key

    def context(self, *names: str, not_after: datetime | None = None) -> ssl.SSLContext:
        """Return the context of a server with these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names, not_after=not_after).configure_cert(context)
        return context

    def trusting(self, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority, with a certificate of its own if it has one."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if identity is not None:
            context.load_cert_chain(*identity)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Give an authority whose files are in ``tmp_path/tls``."""
    return Authority(tmp_path / "tls")
