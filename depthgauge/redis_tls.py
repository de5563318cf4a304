"""Why the certificates of a ``rediss://`` URL cannot be used: Python's own errors name no file."""

import ssl
from collections.abc import Mapping
from pathlib import Path


def unusable(options: Mapping[str, str]) -> str | None:
    """Return which file of the options (by redis-py's names) is missing, closed to us or no PEM; None if none is."""
    ca, certificate, key = (options.get(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"))
    for what, file in (("CA", ca), ("certificate", certificate), ("key", key)):
        try:
            if file is not None:
                Path(file).read_bytes()
        except OSError as exc:
            return f"cannot read the {what} {file!r}: {exc.strerror or exc}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except ssl.SSLError as exc:
        return f"there is no certificate in the CA {ca!r}: {exc.reason or exc}"
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError) as exc:
            reason = exc.reason if isinstance(exc, ssl.SSLError) and exc.reason else str(exc)
            return f"the certificate {certificate!r} and the key {key or certificate!r} cannot be used: {reason}"
    return None
