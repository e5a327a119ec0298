"""Bodies of calls as annotation clients send them: multipart/form-data (RFC 7578) in, and out."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams

from wardround.node.dicomweb.failure import WebFailure, bad_request
from wardround.node.dicomweb.multipart import media_type

MOST_PARTS = 1000
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form. `name` is what its sender calls it, the last part of it alone."""

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields and files of a message, by their names in the form; of several of one name all, in their order."""

    fields: Mapping[str, str]
    files: Mapping[str, tuple[FormFile, ...]]

    @property
    def params(self) -> dict[str, Any]:
        """The field `params`, which every client sends as JSON.

        Raises:
            WebFailure: 400, it is no JSON object.
        """
        return read_params(self.fields.get("params", "").encode())

    def file(self, name: str) -> FormFile | None:
        return next(iter(self.files.get(name, ())), None)


def read_params(body: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one of nothing.

    Raises:
        WebFailure: 400, it is something else.
    """
    if not body.strip():
        return {}
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise bad_request("the parameters aren't JSON") from None
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise bad_request("the parameters aren't a JSON object")
    return read


def read_form(body: bytes, content_type: str) -> Form:
    """A message of several parts, which a client may have given a boundary that RFC 2046 doesn't allow; or, where there
    is no file, fields as an address has them.

    Raises:
        WebFailure: 400, it can't be read; 415, it is no form.
    """
    kind, parameters = media_type(content_type)
    if kind == "application/x-www-form-urlencoded":
        return Form(dict(QueryParams(body.decode("utf-8", "replace"))), {})
    boundary = parameters.get("boundary", "").encode("latin-1", "replace")
    if kind != "multipart/form-data" or not 0 < len(boundary) <= 200:
        raise WebFailure(415, "files are taken as multipart/form-data")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--") or len(pieces) > MOST_PARTS:
        raise bad_request("the message ends before its last boundary, or has too many parts")
    fields: dict[str, str] = {}
    files: dict[str, tuple[FormFile, ...]] = {}
    for piece in pieces[1:-1]:
        head, mark, data = piece.partition(b"\r\n\r\n")
        name, file_name = _named(head.decode("utf-8", "replace"))
        if not mark or name is None:
            raise bad_request("a part of the message has no name")
        if file_name is None:
            fields[name] = data.decode("utf-8", "replace")
        else:
            files[name] = (*files.get(name, ()), FormFile(re.split(r"[\\/]", file_name)[-1], data))
    return Form(fields, files)


def write_result(params: Mapping[str, Any], file_name: str, data: bytes) -> tuple[bytes, str]:
    """A result and its Content-Type: the part `params` first and the file after it, as clients read them in turn."""
    boundary = f"wardround-{secrets.token_hex(16)}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n'
        f"{json.dumps(params)}\r\n"
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{file_name}"\r\n'
        f"Content-Type: {OCTETS}\r\n\r\n"
    )
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _named(head: str) -> tuple[str | None, str | None]:
    for line in head.split("\r\n"):
        label, _, value = line.partition(":")
        if label.strip().lower() == "content-disposition":
            _, parameters = media_type(value)
            return parameters.get("name"), parameters.get("filename")
    return None, None
