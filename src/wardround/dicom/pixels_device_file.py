"""A hospital's own rules of where its devices print text, from a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_rules import DeviceRule
from wardround.foundation.settings import Settings, read_settings

Edge = Annotated[int, Field(ge=0, le=65_535)]
Size = Annotated[int, Field(ge=1, le=65_535)]
Text = Annotated[str, Field(max_length=64)]


class DeviceRuleSettings(Settings):
    """Where a device prints: `boxes` as row, column, height, width, counted from 0. What isn't given holds for all.

    `manufacturer` and `model` are compared from their beginning and without regard to case, the others exactly.
    """

    name: str = Field(min_length=1, max_length=64)
    manufacturer: Text = ""
    model: Text = ""
    modality: str = Field(default="", pattern=r"^[A-Z]{0,16}$")
    sop_class: str = Field(default="", pattern=r"^[0-9.]{0,64}$")
    image_type: Text = ""
    rows: Edge = 0
    columns: Edge = 0
    boxes: tuple[tuple[Edge, Edge, Size, Size], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not (self.manufacturer.strip() or self.model.strip() or self.sop_class):
            raise ValueError("a rule needs a manufacturer, a model or an sop_class")
        for row, column, _, _ in self.boxes:
            if (self.rows and row >= self.rows) or (self.columns and column >= self.columns):
                raise ValueError("a box lies outside of the rule's own rows and columns")
        return self

    def rule(self) -> DeviceRule:
        return DeviceRule(
            name=self.name,
            boxes=tuple(Box(*edges) for edges in self.boxes),
            manufacturer=self.manufacturer.strip(),
            model=self.model.strip(),
            modality=self.modality,
            sop_class=self.sop_class,
            image_type=self.image_type.strip(),
            rows=self.rows,
            columns=self.columns,
        )


class DeviceRulesFile(Settings):
    """A file of rules, each a `[[rule]]`."""

    rule: tuple[DeviceRuleSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        names = [rule.name for rule in self.rule]
        if len(names) != len(set(names)):
            raise ValueError("two rules have the same name")
        return self


def read_device_rules(path: Path) -> tuple[DeviceRule, ...]:
    """The rules of a file, in its order.

    Raises:
        SettingsRefused: the file can't be read, a key isn't known, or a rule contradicts itself.
    """
    return tuple(rule.rule() for rule in read_settings(path, DeviceRulesFile).rule)
