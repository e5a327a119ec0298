"""Where records come from: a reader by the name that `wardround node records load --as` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from wardround.node.records.row import Reader


@dataclass(frozen=True, slots=True)
class Options:
    """What a load was given besides its path. mapping: of a CSV, a file or the name of a shipped one. link: a CSV that
    says which patient a source's own number stands for."""

    mapping: str = ""
    link: Path | None = None


Source = Callable[[Options], Reader]
"""Makes a reader; raises `RecordsRefused` where the options don't fit."""

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "omop": "wardround.node.records.omop.reader:source",
        "csv": "wardround.node.records.mapped.reader:source",
        "fhir": "wardround.node.records.fhir.reader:source",
        "hl7": "wardround.node.records.hl7.reader:source",
    }
)
"""Name to `module:function`, a `Source`; imported when asked for."""


def reader(name: str, options: Options) -> Reader:
    """The reader of a source.

    Raises:
        KeyError: there is no such source.
        RecordsRefused: the options don't fit it.
    """
    module, _, function = SOURCES[name].partition(":")
    made: Source = getattr(import_module(module), function)
    return made(options)
