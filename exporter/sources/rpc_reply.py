"""The body of an XML-RPC reply: a value, a fault, or garbage."""

import re
import xmlrpc.client
from typing import Any, Final
from xml.parsers import expat

from depthgauge.errors import ErrorKind, SourceError

UNKNOWN_METHOD: Final = 1
SHUTDOWN_STATE: Final = 6
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def fault_kind(code: object) -> ErrorKind:
    """Return the error kind of an XML-RPC fault (codes: supervisor.xmlrpc.Faults)."""
    return ErrorKind.SHUTTING_DOWN if code == SHUTDOWN_STATE else ErrorKind.FAULT


def loads(body: bytes) -> Any:
    """Return the value in an XML-RPC reply.

    Raise xmlrpc.client.Fault for a fault and SourceError(GARBAGE) for anything else, a document type included: XML-RPC
    has none, and entities are what XML bombs are made of.
    """
    if not body.strip():
        raise SourceError(ErrorKind.GARBAGE, "the reply is empty")
    try:
        return _parse(body)
    except expat.ExpatError as exc:
        # supervisord escapes no control characters, so one in a program's name makes its XML ill-formed.
        mended = _CONTROL.sub("\ufffd".encode(), body)
        if mended == body:
            raise SourceError(ErrorKind.GARBAGE, f"the reply is no XML: {exc}") from exc
    try:
        return _parse(mended)
    except expat.ExpatError as exc:
        raise SourceError(ErrorKind.GARBAGE, f"the reply is no XML: {exc}") from exc


def _refuse_doctype(*_: object) -> None:
    raise SourceError(ErrorKind.GARBAGE, "the reply has a document type, which XML-RPC does not know")


def _parse(body: bytes) -> Any:
    target = xmlrpc.client.Unmarshaller()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    # Unmarshaller decodes bytes when it is told an encoding; expat has decoded already.
    target.xml("", None)
    try:
        parser.Parse(body, True)
        values = target.close()
    except (xmlrpc.client.ResponseError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError) as exc:
        raise SourceError(ErrorKind.GARBAGE, f"the reply is no XML-RPC: {type(exc).__name__} {exc}") from exc
    if len(values) != 1:
        raise SourceError(ErrorKind.GARBAGE, f"the reply has {len(values)} values instead of one")
    return values[0]
