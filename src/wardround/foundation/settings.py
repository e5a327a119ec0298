"""Settings from one TOML file, closed: an unknown key or a wrong value is one line that says where and the mend."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from wardround.foundation.errors import WardroundError


class SettingsRefused(WardroundError):
    """A settings file that can't be used."""

    code = "settings-refused"


class Settings(BaseModel):
    """A table of settings; a key that isn't known is an error, since it may be a misspelt safeguard."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=BaseModel)


def read_settings(path: Path, kind: type[S]) -> S:
    """The settings in the TOML file `path`, or whatever else of a closed form stands there.

    Raises:
        SettingsRefused: the file is absent, isn't TOML, has an unknown key or a value of the wrong kind.
    """
    document = read_document(path, "settings file")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise SettingsRefused(f"{path}: {_first_fault(error, kind)}") from None


def read_document(path: Path, called: str) -> dict[str, Any]:
    """What the TOML file `path` says; `called` is what to call it when it is absent.

    Raises:
        SettingsRefused: the file is absent, can't be read, or isn't TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsRefused(f"{path}: there is no such {called}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"{path}: not valid TOML ({error}); mend that line") from error
    except OSError as error:
        raise SettingsRefused(f"{path}: can't be read ({error.strerror})") from error


def _first_fault(error: ValidationError, kind: type[BaseModel]) -> str:
    fault = error.errors(include_url=False)[0]
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place) or "the file"
    if fault["type"] == "extra_forbidden":
        known = ", ".join(_known_keys(kind, place[:-1]))
        return f"unknown key {key!r}; known here: {known}; correct or remove it"
    if fault["type"] == "missing":
        return f"{key!r} is missing; add it"
    return f"{key!r} is {fault['input']!r}: {fault['msg'][:1].lower()}{fault['msg'][1:]}; correct it"


def _known_keys(kind: type[BaseModel], place: list[str]) -> list[str]:
    for part in place:
        field = kind.model_fields.get(part)
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return sorted(kind.model_fields)


def write_toml(document: dict[str, object]) -> str:
    """A TOML document of strings, numbers, truth values and tables of these, in the order given."""
    lines = [f"{key} = {_toml(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for key, table in document.items():
        if isinstance(table, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str) and value.isprintable():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    raise SettingsRefused(f"a {type(value).__name__} can't be written as a setting; use one line of text or a number")
