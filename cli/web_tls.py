"""The table ``tls_server_config`` of the web config file. Go's names of suites are from its crypto/tls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cli.web_yaml import Complain, Entry, flag, word, words
from depthgauge.secrets import Secret
from depthgauge.settings import Pem, TlsSettings
from depthgauge.tls import VERSIONS

KEYS: Final = (
    *("cert", "cert_file", "key", "key_file", "client_ca", "client_ca_file", "client_auth_type", "client_allowed_sans"),
    *("min_version", "max_version", "cipher_suites", "prefer_server_cipher_suites"),
)
SUITES: Final[dict[str, str | None]] = {
    "TLS_AES_128_GCM_SHA256": None,
    "TLS_AES_256_GCM_SHA384": None,
    "TLS_CHACHA20_POLY1305_SHA256": None,
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""By Go's names, those with forward secrecy and a sound cipher; None: a suite of TLS 1.3, which is always on, here as in Go."""

_CLIENT_AUTH: Final = {"NoClientCert": None, "VerifyClientCertIfGiven": False, "RequireAndVerifyClientCert": True}
_UNVERIFIED: Final = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")


def tls(found: Mapping[str, Entry], section: Entry, folder: Path, complain: Complain) -> TlsSettings | None:
    """Return the settings of a table; None where it is empty or, with a complaint, not complete."""
    given = {name: each for name, each in found.items() if not each.is_null}
    if not given:
        return None
    cert, key = (_pem(given, name, folder, complain) for name in ("cert", "key"))
    for name, pem in (("cert", cert), ("key", key)):
        if pem is None and not {name, f"{name}_file"} & given.keys():
            complain(section.line, section.name, f"has no {name}_file")
    client_ca, required = _client(given, folder, complain)
    least, most = (
        _version(given, name, which, complain) for name, which in (("min_version", "TLS12"), ("max_version", "TLS13"))
    )
    ciphers = _suites(given["cipher_suites"], complain) if "cipher_suites" in given else None
    if ciphers == ():
        # Only suites of TLS 1.3 are listed, so nothing of TLS 1.2 is wanted.
        least = "TLS13"
    if (least, most) == ("TLS13", "TLS12"):
        complain(
            section.line, section.name, "allows no version: min_version or cipher_suites want TLS13, max_version TLS12"
        )
    if cert is None or key is None:
        return None
    preferring = given.get("prefer_server_cipher_suites")
    return TlsSettings(
        cert=cert,
        key=key,
        client_ca=client_ca,
        client_required=required,
        client_sans=tuple(words(given["client_allowed_sans"], complain)) if "client_allowed_sans" in given else (),
        min_version=least,
        max_version=most,
        ciphers=ciphers or (),
        prefer_server_ciphers=flag(preferring, complain, default=True) if preferring else True,
    )


def _pem(given: Mapping[str, Entry], name: str, folder: Path, complain: Complain) -> Pem | None:
    inline, file = given.get(name), given.get(f"{name}_file")
    if inline is not None and file is not None:
        complain(file.line, file.name, f"{name} is set too; keep one of them")
    text = word(inline, complain) if inline is not None else None
    path = word(file, complain) if file is not None else None
    for entry, found in ((inline, text), (file, path)):
        if entry is not None and found == "":
            complain(entry.line, entry.name, "is empty: nothing would be protected; leave it out or fill it in")
    if path:
        return Pem(path=folder / path)
    return Pem(text=Secret(text)) if text else None


def _client(given: Mapping[str, Entry], folder: Path, complain: Complain) -> tuple[Pem | None, bool]:
    authorities = _pem(given, "client_ca", folder, complain)
    entry = given.get("client_auth_type")
    policy = (word(entry, complain) if entry is not None else None) or "NoClientCert"
    if policy not in _CLIENT_AUTH:
        assert entry is not None
        allowed = ", ".join(_CLIENT_AUTH)
        why = (
            "takes certificates without verifying them, which is not done here"
            if policy in _UNVERIFIED
            else "is no policy"
        )
        complain(entry.line, entry.name, f"{policy!r} {why}; allowed are {allowed}")
        return None, False
    required = _CLIENT_AUTH[policy]
    if required is None:
        for name in ("client_ca", "client_ca_file", "client_allowed_sans"):
            if name in given:
                complain(
                    given[name].line, given[name].name, "needs client_auth_type: RequireAndVerifyClientCert beside it"
                )
        return None, False
    if authorities is None:
        assert entry is not None
        complain(entry.line, entry.name, "needs client_ca_file beside it: whose certificates are to be trusted?")
    return authorities, required


def _version(given: Mapping[str, Entry], name: str, default: str, complain: Complain) -> str:
    entry = given.get(name)
    found = word(entry, complain) if entry is not None else None
    if found is None or found in VERSIONS:
        return found or default
    assert entry is not None
    complain(entry.line, entry.name, f"is {found!r}; allowed are {' and '.join(VERSIONS)}, older ones are not safe")
    return default


def _suites(entry: Entry, complain: Complain) -> tuple[str, ...] | None:
    """Return OpenSSL's names; None where the list is empty, or has a wrong one."""
    made, names = [], words(entry, complain)
    for name in names:
        if name not in SUITES:
            complain(entry.line, entry.name, f"the suite {name!r} is not taken; allowed are {', '.join(SUITES)}")
        elif (suite := SUITES[name]) is not None:
            made.append(suite)
    return tuple(made) if names and SUITES.keys() >= set(names) else None
