"""Names that users chose (queues, programs), made safe for labels, JSON and PostgreSQL text, once and for all."""

import hashlib
import re
from typing import Final

MAX_LENGTH: Final = 250
"""Characters kept of a name; longer ones are cut and marked like unclean ones."""

_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(raw: bytes | str) -> str:
    """Return the name without NUL, control characters, lone surrogates or undecodable bytes.

    A name that had to be changed ends in ``~`` and eight hexadecimal digits of its original's hash, so that two names
    which differ only in what was removed stay two names.
    """
    if isinstance(raw, bytes):
        text, original = raw.decode("utf-8", "replace"), raw
        lossless = "\ufffd" not in text or text.encode() == raw
    else:
        text, original = raw, raw.encode("utf-8", "surrogatepass")
        lossless = True
    safe = _UNSAFE.sub("\ufffd", text)[:MAX_LENGTH]
    if lossless and safe == text:
        return safe
    return f"{safe}~{hashlib.blake2b(original, digest_size=4).hexdigest()}"
