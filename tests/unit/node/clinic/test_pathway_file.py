"""A pathway is one file: what it can say, what it refuses to be told, and what it makes of a study's files."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.command_line import CommandLine
from tests.front_door import edited, studies

from wardround.dicom.volume import VolumeRefused
from wardround.foundation.errors import Conflict, NotFound
from wardround.foundation.settings import SettingsRefused
from wardround.node.clinic.definition import Definition, Output
from wardround.node.clinic.definition_file import Definitions
from wardround.node.clinic.examination import Examination, examine, priority_of
from wardround.node.clinic.template import begin, shipped

TEXT = """title = "Glioma"
purpose = "Outlines the tumour."
model = "3f0c3f0c3f0c"

[studies]
when = 'Modality == "MR"'
emergency_when = 'StudyDescription like "*stat*"'

[input]
orientation = ["axial"]
slice_spacing_mm = [0.8, 6.5]

[output]
kind = "outline"
of = "tumour"
"""


def write(folder: Path, text: str, name: str = "brain") -> Definitions:
    (folder / f"{name}.toml").write_text(text)
    return Definitions(folder)


def study(folder: Path, change: Callable[[int, pydicom.Dataset], None] = lambda _number, _ds: None) -> list[Path]:
    files = []
    for number, part10 in enumerate(studies(2)[0].slices):
        files.append(folder / f"{number}.dcm")
        files[-1].write_bytes(edited(part10))
        ds = pydicom.dcmread(files[-1])
        change(number, ds)
        ds.save_as(files[-1])
    return files


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("orientation = ", "orientatoin = ", r"line 10: unknown key 'input.orientatoin'; known here: .*orientation"),
        ('title = "Glioma"\n', "", r"line 1: 'title' is missing; add it"),
        ("[output]\n", "[ouput]\n", r"line 13: unknown key 'ouput'; known here: .*output"),
        ("[0.8, 6.5]", "[6.5, 0.8]", r"line 11: 'input.slice_spacing_mm' .*write \[0.8, 6.5\]"),
        ('"MR"\'', "MR'", r"line 6: 'studies.when' .*write a text in quotes"),
        ("emergency_when = 'Study", "emergency_when = 'Studie", r"line 7: .*no DICOM keyword"),
        ('kind = "outline"', 'kind = "oracle"', r"line 14: 'output.kind' is 'oracle'"),
        ('"3f0c3f0c3f0c"', '"newest"', r"line 3: 'model' is 'newest'"),
        ("[output]", "[output", "not valid TOML"),
    ],
)
def test_what_a_file_cant_say_is_one_line_with_its_place_and_its_mend(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in TEXT
    with pytest.raises(SettingsRefused, match=told):
        write(tmp_path, TEXT.replace(old, new, 1)).of("brain")


def test_an_edit_holds_at_once_and_comments_make_no_other_edition(tmp_path: Path) -> None:
    definitions = write(tmp_path, TEXT)
    first = definitions.of("brain")
    write(tmp_path, "# ours\n" + TEXT)
    assert definitions.of("brain").digest == first.digest
    write(tmp_path, TEXT.replace("6.5", "5.5"))
    assert definitions.of("brain").digest != first.digest
    assert first.names_model("3f0c3f0c3f0c" + "0" * 52) and not first.names_model("a" * 64)


def test_a_version_that_knows_of_more_settings_finds_the_same_edition() -> None:
    class Later(Definition):
        of_a_later_version: bool = True

    document = tomllib.loads(TEXT)
    assert Later.model_validate(document).digest == Definition.model_validate(document).digest
    said = Later.model_validate({**document, "of_a_later_version": False})
    assert said.digest != Later.model_validate(document).digest


@pytest.mark.parametrize("name", ["../policy", "Brain", "", "a/b", "brain.toml"])
def test_a_name_is_never_a_way_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="no name of a pathway"):
        write(tmp_path, TEXT).of(name)


def of(files: list[Path], **wanted: object) -> Examination:
    asked = Definition.model_validate(
        {
            "title": "t",
            "purpose": "p",
            "studies": {"when": 'Modality == "MR"'},
            "input": wanted,
            "output": {"kind": "outline", "of": "tumour"},
        }
    )
    return examine(asked, files)


def _scanner(_number: int, ds: pydicom.Dataset) -> None:
    ds.Manufacturer, ds.ManufacturerModelName = "SIEMENS", "Prisma Fit"
    ds.ContrastBolusAgent = "Gadoterate"
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "24590-2", "LN", "MR Brain"
    ds.ProcedureCodeSequence = [item]


@pytest.mark.parametrize(
    ("passes", "fails", "code"),
    [
        ({"orientation": ("axial",)}, {"orientation": ("sagittal", "coronal")}, "orientation"),
        ({"slices": (4, 4)}, {"slices": (5, 500)}, "slices"),
        ({"slice_spacing_mm": (1, 30)}, {"slice_spacing_mm": (0.1, 0.5)}, "slice-spacing"),
        ({"pixel_spacing_mm": (0.1, 100)}, {"pixel_spacing_mm": (0.01, 0.1)}, "pixel-spacing"),
        ({"coverage_mm": (4, 400)}, {"coverage_mm": (400, 500)}, "coverage"),
        ({"matrix": (16, 16)}, {"matrix": (256, 512)}, "matrix"),
        ({"contrast": "with"}, {"contrast": "without"}, "contrast"),
        ({"scanners": ("GE *", "siemens prisma*")}, {"scanners": ("GE *",)}, "scanner"),
        ({"procedure_codes": ("24590-2|LN",)}, {"procedure_codes": ("24590-2|SCT",)}, "procedure"),
    ],
)
def test_each_check_passes_what_it_should_and_says_what_it_found(
    tmp_path: Path, passes: dict[str, object], fails: dict[str, object], code: str
) -> None:
    files = study(tmp_path, _scanner)
    good, bad = of(files, **passes), of(files, **fails)
    assert good.failed is None and [one.code for one in good.checks] == [code]
    assert bad.failed is not None and bad.failed.code == code and bad.failed.found == good.checks[0].found


@pytest.mark.parametrize("wanted", [{"contrast": "with"}, {"scanners": ("SIEMENS*",)}, {"procedure_codes": ("1|LN",)}])
def test_what_the_headers_dont_say_is_never_taken_for_granted(tmp_path: Path, wanted: dict[str, object]) -> None:
    def silent(_number: int, ds: pydicom.Dataset) -> None:
        ds.Manufacturer, ds.ManufacturerModelName = "", ""

    assert of(study(tmp_path, silent), **wanted).failed is not None


def test_the_series_with_most_images_is_read_and_one_that_is_no_volume_is_refused(tmp_path: Path) -> None:
    def split(number: int, ds: pydicom.Dataset) -> None:
        if number == 0:
            ds.SeriesInstanceUID += ".9"

    found = of(study(tmp_path, split))
    assert found.chosen is not None and len(found.chosen.files) == 3 and len(found.series) == 2
    with pytest.raises(VolumeRefused, match="missing"):
        of([file for file in study(tmp_path) if file.name != "1.dcm"], slices=(1, 10))


def test_a_study_of_another_kind_isnt_the_pathways_and_an_emergency_is_told(tmp_path: Path) -> None:
    definition = write(tmp_path, TEXT).of("brain")
    assert priority_of(definition, study(tmp_path)[:1]) == "routine"
    assert priority_of(definition, study(tmp_path, lambda _, ds: setattr(ds, "StudyDescription", "STAT head"))) == (
        "emergency"
    )
    ct = study(tmp_path, lambda _, ds: setattr(ds, "Modality", "CT"))
    assert priority_of(definition, ct) is None and not examine(definition, ct).on_pathway


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 1000))
def test_a_study_is_flagged_beyond_a_bound_and_only_there(value: float, low: float, high: float) -> None:
    flags = Output(kind="number", of="x", flag_above=high, flag_below=low).flags(value)
    assert flags is (value > high or value < low)
    assert not Output(kind="number", of="x").flags(value)
    assert Output(kind="outline", of="x").flags(value) is (value > 0)


def test_twelve_templates_over_three_specialties_say_what_they_need_and_name_no_model() -> None:
    there = [shipped().of(name) for name in shipped().names()]
    assert len(there) == 12 and {one.area for one in there} == {"oncology", "cardiology", "neurology"}
    assert {one.output.kind for one in there} == {"outline", "volume", "class", "number"}
    for one in there:
        assert one.inputs and one.evidence is not None and one.evidence.about
        assert one.input != type(one.input)() and not one.model


def test_a_pathway_begun_from_a_template_is_checked_before_it_is_there(tmp_path: Path) -> None:
    definitions = Definitions(tmp_path / "pathways")
    file = begin(definitions, "ours", "glioma-mr", "a" * 64)
    assert definitions.of("ours").model == "a" * 64 and definitions.names() == ["ours"]
    with pytest.raises(Conflict, match="is there already"):
        begin(definitions, "ours", "stroke-ct")
    with pytest.raises(NotFound, match="no template"):
        begin(definitions, "other", "../ours")
    with pytest.raises(SettingsRefused, match="'model' is 'best'"):
        begin(definitions, "other", "stroke-ct", "best")
    assert list(file.parent.iterdir()) == [file]


def test_files_dropped_on_a_template_are_told_check_by_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wardround = CommandLine(monkeypatch, capsys)

    def flair(_number: int, ds: pydicom.Dataset) -> None:
        ds.BodyPartExamined, ds.SeriesDescription, ds.PatientAge = "BRAIN", "AX FLAIR\x07", "050Y"

    (tmp_path / "in").mkdir()
    study(tmp_path / "in", flair)
    told, _ = wardround("pathway", "test", "glioma-mr", tmp_path / "in", "--template", code=3)
    assert "out of scope (slice-spacing), never read" in told and "the model reads this" in told
    assert "passes  orientation: axial, wanted axial" in told and "fails   slice-spacing" in told and "\x07" not in told
    told, _ = wardround("pathway", "test", "stroke-ct", tmp_path / "in", "--template", code=3)
    assert "not of this pathway" in told
    (tmp_path / "in" / "note.txt").write_text("no image")
    assert "can't be read" in wardround("pathway", "test", "stroke-ct", tmp_path / "in", "--template", code=1)[0]
    told, _ = wardround("pathway", "templates")
    assert told.count("evidence: ") == 12
