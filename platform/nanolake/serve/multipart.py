"""The parts of a ``multipart/form-data`` body (RFC 7578), as curl and browsers send files."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message

from nanolake.serve.refusals import RefusedError


@dataclass(frozen=True, kw_only=True)
class Part:
    """One field of a form; ``filename`` is empty where the client gave none."""

    filename: str
    content: bytes


def read_parts(body: bytes, content_type: str) -> dict[str, Part]:
    r"""Return the parts by field name. Raises `RefusedError` (``bad_multipart``) for others.

    >>> body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n12\r\n--x--\r\n'
    >>> read_parts(body, "multipart/form-data; boundary=x")
    {'a': Part(filename='', content=b'12')}
    """
    boundary = _header(content_type).get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise _bad("the header Content-Type names no boundary", content_type)
    chunks = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1", "replace"))
    if len(chunks) < 3 or not chunks[-1].startswith(b"--"):
        raise _bad("the body does not end with its boundary", f"{len(body)} bytes")
    parts: dict[str, Part] = {}
    for chunk in chunks[1:-1]:
        name, part = _part(chunk)
        if name in parts:
            raise _bad("a field comes twice", name)
        parts[name] = part
    return parts


def _part(chunk: bytes) -> tuple[str, Part]:
    head, gap, content = chunk.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    fields = [line.partition(":") for line in lines]
    named = [value for key, _, value in fields if key.strip().lower() == "content-disposition"]
    disposition = _header(named[0].strip()) if named and gap else Message()
    name = disposition.get_param("name")
    if not isinstance(name, str):
        raise _bad("a part has no name", head[:80].decode("latin-1"))
    filename = disposition.get_param("filename")
    return name, Part(filename=filename if isinstance(filename, str) else "", content=content)


def _header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    return message


def _bad(what: str, value: str) -> RefusedError:
    remedy = "send it as `curl -F picture=@FILE` does, or the file alone as the whole body"
    return RefusedError(400, "bad_multipart", what, value, remedy)
