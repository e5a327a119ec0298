"""A hospital's own rules of where its devices print: taken as written, or told with the place of the mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_device_file import read_device_rules
from wardround.dicom.pixels_facts import PixelFacts
from wardround.dicom.pixels_rules import annotation_areas
from wardround.foundation.settings import SettingsRefused

GOOD = """
[[rule]]
name = "Ward 3"
manufacturer = "Acme"
model = "SONO 7"
modality = "US"
rows = 768
columns = 1024
boxes = [[0, 0, 42, 1024], [740, 600, 28, 424]]
"""
SCAN = PixelFacts(manufacturer="ACME Medical", model="Sono 7 Pro", modality="US", rows=768, columns=1024)


def read(tmp_path: Path, text: str) -> tuple[Box, ...]:
    path = tmp_path / "devices.toml"
    path.write_text(text)
    return annotation_areas(SCAN, read_device_rules(path))


def test_a_rule_of_the_hospital_says_where_its_device_prints(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == (Box(0, 0, 42, 1024), Box(740, 600, 28, 424))
    assert read(tmp_path, GOOD.replace("768", "480").replace("740", "450")) == (), "another size"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (GOOD.replace("model", "modell"), "unknown key 'rule.0.modell'"),
        (GOOD.replace('manufacturer = "Acme"\nmodel = "SONO 7"\n', ""), "needs a manufacturer"),
        (GOOD.replace("[740,", "[768,"), "outside of the rule's own rows"),
        (GOOD.replace("[[0, 0, 42, 1024], [740, 600, 28, 424]]", "[]"), "boxes"),
        (GOOD.replace("42, 1024", "0, 1024"), "boxes"),
        (GOOD + GOOD, "the same name"),
        ("", "'rule' is missing"),
        ("[[rule", "not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path: Path, wrong: str, why: str) -> None:
    with pytest.raises(SettingsRefused, match=r"devices\.toml: ") as refused:
        read(tmp_path, wrong)
    assert why in str(refused.value)
