"""A mapping out of its file, or one of those that come with Wardround, with each fault in one line."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from wardround.foundation.settings import SettingsRefused, read_document
from wardround.node.records.errors import RecordsRefused
from wardround.node.records.mapped.mapping import Mapping

SHIPPED = Path(__file__).resolve().parent.parent / "mappings"


def shipped() -> tuple[str, ...]:
    """The names of the mappings that come with Wardround."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.toml")))


def read_mapping(name: str) -> Mapping:
    """The mapping in the file `name`, or the shipped one of that name.

    Raises:
        RecordsRefused: it can't be used; the text says where and the mend.
    """
    if not name:
        raise RecordsRefused(f"a CSV needs a mapping: a file, or one of {', '.join(shipped())}; give --mapping")
    path = SHIPPED / f"{name}.toml" if name in shipped() else Path(name)
    try:
        document = read_document(path, f"mapping file (those that come with Wardround: {', '.join(shipped())})")
    except SettingsRefused as refused:
        raise RecordsRefused(str(refused)) from None
    try:
        return Mapping.model_validate(document)
    except ValidationError as error:
        raise RecordsRefused(f"{path}: {_told(error)}") from None


def _told(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    place = fault["loc"]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        known = ", ".join(_known(place[:-1]))
        return f"{_key(place)} isn't known; known there: {known}; correct or remove it{more}"
    if fault["type"] == "missing":
        return f"{_key(place)} is missing; add it{more}"
    text = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{_key(place)}: {text}{more}" if place else f"{text}{more}"
    return f"{_key(place)} is {_short(fault['input'])}: {text[:1].lower()}{text[1:]}; correct it{more}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _key(place: Sequence[int | str]) -> str:
    """`record 2 when 1 equals` for ("record", 1, "when", 0, "equals")."""
    return " ".join(str(part + 1) if isinstance(part, int) else part for part in place)


def _known(place: Sequence[int | str]) -> list[str]:
    kind: type[BaseModel] | None = Mapping
    for part in place:
        if isinstance(part, int) or kind is None:
            continue
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        kind = _model_in(fields[part].annotation) if part in fields else None
    return sorted(field.alias or name for name, field in kind.model_fields.items()) if kind is not None else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in typing.get_args(annotation) if (found := _model_in(one)) is not None), None)
