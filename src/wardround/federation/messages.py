"""The engine's dataclasses as JSON and bytes, and back.

What crosses a process boundary here comes from a process that may have been taken over, so reading is strict:
exact keys, exact types, finite numbers. Nothing is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from wardround.foundation.stored import Held, Stored

T = TypeVar("T")


class MessageInvalid(ValueError):
    """A message that isn't what its type says; the text names the field, never its content."""


def pack(message: Any) -> tuple[dict[str, Any], Held]:
    """A message's JSON part and its bytes, which may lie in a file. At most one field may be of that type."""
    meta: dict[str, Any] = {}
    payload: Held = b""
    for item in dataclasses.fields(message):
        value = getattr(message, item.name)
        if isinstance(value, bytes | Stored):
            payload = value
        else:
            meta[item.name] = _plain(value)
    return meta, payload


def unpack(kind: type[T], meta: Any, payload: Held = b"") -> T:
    """Build a ``kind`` from what :func:`pack` made. Raises :class:`MessageInvalid`."""
    if not isinstance(meta, dict):
        raise MessageInvalid(f"{kind.__name__}: expected an object")
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]  # a class is hashable; mypy doubts TypeVars
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if hint == Held:
            values[name] = payload
        elif name not in meta:
            raise MessageInvalid(f"{kind.__name__}: {name} is missing")
        else:
            values[name] = _read(hint, meta[name], f"{kind.__name__}.{name}")
    if unknown := set(meta) - set(hints):
        raise MessageInvalid(f"{kind.__name__}: {len(unknown)} unknown fields")
    return kind(**values)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return pack(value)[0]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [_plain(item) for item in value]
    return value


def _read(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin is Literal:
        if value not in get_args(hint):
            raise MessageInvalid(f"{where}: not one of the values allowed")
        return value
    if origin is types.UnionType:
        return None if value is None else _read(get_args(hint)[0], value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise MessageInvalid(f"{where}: expected a list")
        return tuple(_read(get_args(hint)[0], item, where) for item in value)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(get_args(hint)[1], value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return unpack(hint, value)
    return _scalar(hint, value, where)


def _mapping(hint: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise MessageInvalid(f"{where}: expected an object")
    return {key: _read(hint, item, where) for key, item in value.items()}


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise MessageInvalid(f"{where}: not a finite number")
        return float(value)
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint in (str, bool) and isinstance(value, hint):
        return value
    if isinstance(hint, type) and issubclass(hint, str) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError as error:
            raise MessageInvalid(f"{where}: not one of the values allowed") from error
    raise MessageInvalid(f"{where}: wrong type")
