"""Pathways that come with this installation, to begin one's own from: each a file that names no model yet."""

from __future__ import annotations

from pathlib import Path

from wardround.foundation.errors import Conflict, NotFound
from wardround.foundation.files import write_whole
from wardround.node.clinic.definition_file import Definitions, read_definition

_FOLDER = Path(__file__).parent / "templates"
_NO_MODEL = 'model = ""'


def shipped() -> Definitions:
    """The templates, by name."""
    return Definitions(_FOLDER)


def begin(
    definitions: Definitions, name: str, template: str, model: str = "", *, templates: Definitions | None = None
) -> Path:
    """Write a new pathway's file from a template; returns where it is.

    Args:
        model: the digest of the version that is to read, or its first 8 digits; it can be filled in later.
        templates: those to choose from; the shipped ones, if not given.

    Raises:
        NotFound: no such template, or `name` can't be a pathway's name.
        Conflict: a pathway of this name is there.
        SettingsRefused: `model` is no digest.
    """
    templates = templates or shipped()
    if template not in templates.names():
        raise NotFound(f"there is no template {template!r}; there are: {', '.join(templates.names())}")
    target = definitions.file(name)
    if target.exists():
        raise Conflict(f"{target} is there already; change it, or choose another name")
    text = templates.file(template).read_text(encoding="utf-8").replace(_NO_MODEL, f'model = "{model}"', 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(".new")
    write_whole(aside, text.encode(), mode=0o644)
    try:
        read_definition(aside)
    except BaseException:
        aside.unlink()
        raise
    aside.rename(target)
    return target
