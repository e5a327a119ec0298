"""What the header clears, what is read, and what never passes by itself."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset
from tests.unit.dicom.pixels_lab import (
    ULTRASOUND,
    WHO,
    Print,
    bright,
    burned,
    fan,
    head,
    noise,
    stored,
)

from wardround.dicom.confidentiality_classes import Pixels, class_decision
from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_facts import PixelFacts, read_facts
from wardround.dicom.pixels_rules import NO_PICTURE, TRUSTED, DeviceRule, device_rules, shipped_rules
from wardround.dicom.pixels_screening import Screener, Screening, Verdict, screen
from wardround.dicom.pixels_text import TextReader

CT, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.66.4"
needs_reader = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="tesseract (Debian: tesseract-ocr) isn't installed"
)
BLIND = Screener(reader=TextReader(program="no-such-program-here"))

SLICE = PixelFacts(
    sop_class=CT, modality="CT", image_type=("ORIGINAL", "PRIMARY", "AXIAL"), rows=512, columns=512,
    photometric="MONOCHROME2",
)  # fmt: skip


@pytest.mark.parametrize(
    "facts",
    [
        SLICE,
        replace(SLICE, burned_in="NO"),
        replace(SLICE, image_type=("DERIVED", "PRIMARY", "ADC"), burned_in="NO"),
        replace(SLICE, sop_class=SEG, image_type=("DERIVED", "PRIMARY")),
        replace(SLICE, sop_class="1.2.3", has_pixels=False),
        replace(SLICE, sop_class="1.2.3", rows=16, columns=16),
    ],
)
def test_what_a_scanner_measured_is_clear_by_its_header(facts: PixelFacts) -> None:
    assert BLIND.by_header(facts) == Screening(Verdict.CLEAR)


@pytest.mark.parametrize(
    "facts",
    [
        replace(SLICE, burned_in="YES"),
        replace(SLICE, recognisable="YES"),
        replace(SLICE, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")),
        replace(SLICE, image_type=("ORIGINAL", "PRIMARY", "SCREEN SAVE"), burned_in="NO"),
        replace(SLICE, image_type=("DERIVED", "PRIMARY", "ADC")),
        replace(SLICE, image_type=("DERIVED", "SECONDARY"), burned_in="NO"),
        replace(SLICE, image_type=()),
        replace(SLICE, samples=3, photometric="RGB"),
        replace(SLICE, sop_class=ULTRASOUND, burned_in="NO"),
        replace(SLICE, sop_class="1.2.3.4", burned_in="NO"),
        replace(SLICE, manufacturer="Printer Works", model="P1"),
    ],
)
def test_what_may_hold_print_is_read(facts: PixelFacts) -> None:
    rule = DeviceRule("prints", (Box(0, 0, 10, 10),), manufacturer="Printer Works")
    assert Screener(devices=[rule], reader=TextReader(program="none")).by_header(facts) is None


def test_no_class_is_cleared_by_its_kind_that_the_profiles_want_looked_at() -> None:
    for sop_class in (*TRUSTED, *NO_PICTURE):
        assert class_decision(sop_class).pixels is Pixels.TRUSTED


def test_a_face_that_is_removed_later_needs_no_person() -> None:
    assert Screener(deface=True).by_header(replace(SLICE, recognisable="YES")) == Screening(Verdict.CLEAR)


def test_without_a_reader_all_that_must_be_read_waits() -> None:
    screening = BLIND.screen(stored(head()), WHO)
    assert not BLIND.ready()
    assert (screening.verdict, screening.reasons) == (Verdict.UNCERTAIN, ("text-reader-missing",))
    assert screening.frames == ()


def test_a_reader_that_fails_or_is_slow_clears_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("reader")
    for name, script in (("fails", "exit 3"), ("hangs", "exec sleep 60"), ("says-nothing", "cat > /dev/null")):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        screening = Screener(reader=TextReader(str(program), seconds=1)).screen(stored(head()), WHO)
        assert (screening.verdict, screening.reasons) == (Verdict.UNCERTAIN, ("text-reader-failed",))


def test_what_cannot_be_decoded_waits_and_what_cannot_be_read_is_refused() -> None:
    short = stored(head(), Rows=4000)
    assert BLIND.screen(short, WHO).reasons == ("pixels-undecodable",)
    film = stored(head(), NumberOfFrames=100_000)
    assert BLIND.screen(film, WHO).reasons == ("pixels-undecodable",)
    bomb = stored(head(), Rows=60_000, Columns=60_000)
    assert BLIND.screen(bomb, WHO).reasons == ("pixels-undecodable",)
    assert BLIND.screen(b"no object", WHO) == Screening(Verdict.REFUSED, ("unreadable-header",))


PLANTED = [
    (head(), Print("HARRINGTON OLIVIA", 14)),
    (head(1), Print("DOB 12/03/1961", 14, "bottom right")),
    (head(2), Print("943 476 5919", 16, "top right", turn=1)),
    (head(3), Print("Acc RX8841207", 16, "bottom left", turn=3)),
    (head(0, 0.9), Print("Harrington, Olivia", 18, "middle")),
    (head(1, 0.1), Print("OLIVIA M HARRINGTON", 14, "bottom left", grey=190)),
    (fan(), Print("HARRINGTON OLIVIA", 14, "top left")),
    (fan(2), Print("ID 943 476 5919", 14, "bottom right", turn=2)),
    (fan(3), Print("12-Mar-1961", 20, "top right")),
    (noise(), Print("HARRINGTON", 18, "middle")),
    (noise(3), Print("943 476 5919", 24, "bottom left")),
    (bright(), Print("HARRINGTON OLIVIA", 14, "top left", grey=10)),
    (bright(), Print("DOB 1961-03-12", 16, "bottom right", grey=0, turn=1)),
    (bright(), Print("RX8841207", 32, "middle", grey=255)),
]
CLEAN = [head(0), head(1, 0.1), head(2, 0.9), head(3, 0.3), fan(4), noise(5), bright()]


@needs_reader
@pytest.mark.parametrize("number", range(len(PLANTED)))
def test_planted_identifiers_of_14_pixels_and_more_are_found(number: int) -> None:
    picture, printed = PLANTED[number]
    screening = screen(stored(burned(picture, printed)), WHO)
    assert screening.verdict is Verdict.UNCERTAIN
    assert screening.reasons[0] == "identifier-in-pixels"
    shown = np.argwhere(burned(picture, printed) != picture)
    assert any(
        (shown >= (box.row, box.column)).all(axis=1).any()
        and (shown < (box.row + box.height, box.column + box.width)).all(axis=1).any()
        for box in screening.boxes
    )


@needs_reader
@pytest.mark.parametrize("number", range(len(CLEAN)))
def test_clean_pictures_name_nobody(number: int) -> None:
    screening = screen(stored(CLEAN[number]), WHO)
    assert "identifier-in-pixels" not in screening.reasons
    assert (screening.verdict, screening.frames) == (Verdict.CLEAR, (1,))


@needs_reader
def test_print_of_12_pixels_in_16_bits_is_found() -> None:
    wide = burned(head(), Print("HARRINGTON OLIVIA", 12)).astype(np.uint16) * 200
    assert screen(stored(wide), WHO).reasons[0] == "identifier-in-pixels"


@needs_reader
def test_coloured_print_is_found() -> None:
    picture = np.repeat(fan()[:, :, None], 3, axis=2).copy()
    printed = burned(np.zeros_like(fan()), Print("HARRINGTON", 16)) > 128
    picture[printed] = (250, 220, 0)
    assert "identifier-in-pixels" in screen(stored(picture, Modality="US", sop_class=ULTRASOUND), WHO).reasons


@needs_reader
def test_text_that_names_nobody_in_the_header_waits_too() -> None:
    screening = screen(stored(burned(head(), Print("Reported by Dr Quentin", 16))), WHO)
    assert (screening.verdict, screening.reasons) == (Verdict.UNCERTAIN, ("text-in-pixels",))


@needs_reader
def test_a_scanners_harmless_annotations_pass() -> None:
    picture = burned(burned(head(), Print("L", 20, "top left")), Print("10 cm", 14, "bottom right"))
    assert screen(stored(picture), WHO).verdict is Verdict.CLEAR


@needs_reader
def test_text_in_one_frame_of_many_is_found() -> None:
    frames = np.stack([fan(seed, 200, 260) for seed in range(1, 10)])
    frames[5] = burned(frames[5], Print("OLIVIA HARRINGTON", 16, "bottom right"))
    screening = screen(stored(frames), WHO)
    assert "identifier-in-pixels" in screening.reasons
    assert screening.frames == (1, 3, 5, 7, 9)
    assert {box.frame for box in screening.boxes} == {None}


@needs_reader
def test_burned_in_yes_is_believed_and_clean_pixels_do_not_outweigh_it() -> None:
    assert screen(stored(head(), BurnedInAnnotation="YES"), WHO).reasons == ("burned-in-annotation",)
    assert screen(stored(head(), ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"]), WHO).reasons == ("screen-capture",)


@needs_reader
def test_print_where_a_known_device_prints_is_blackened_and_print_elsewhere_is_not_passed() -> None:
    area = Box(0, 0, 30, 400)
    device = Screener(devices=[DeviceRule("prints", (area,), manufacturer="Printer Works", rows=300)])
    header = burned(fan(), Print("HARRINGTON OLIVIA", 14))
    known = stored(header, Manufacturer="PRINTER WORKS Ltd", BurnedInAnnotation="YES")
    assert device.screen(known, WHO) == Screening(Verdict.REDACT, (), (1,), (area,))
    both = stored(burned(header, Print("OLIVIA", 18, "bottom left")), Manufacturer="Printer Works")
    assert device.screen(both, WHO).verdict is Verdict.UNCERTAIN
    silent = stored(fan(), Manufacturer="Printer Works", BurnedInAnnotation="YES")
    assert device.screen(silent, WHO).reasons == ("burned-in-annotation",)
    asked = Screener(devices=[DeviceRule("prints", (area,), manufacturer="Printer Works")], redact=False)
    assert asked.screen(known, WHO).verdict is Verdict.UNCERTAIN


@needs_reader
def test_all_outside_of_an_ultrasounds_image_area_is_blackened() -> None:
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 40
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 379, 299
    part10 = stored(
        burned(fan(), Print("HARRINGTON OLIVIA", 14)),
        sop_class=ULTRASOUND,
        SequenceOfUltrasoundRegions=[region],
    )
    screening = Screener(devices=[]).screen(part10, WHO)
    assert screening.verdict is Verdict.REDACT
    covered = np.zeros((300, 400), bool)
    for box in screening.boxes:
        covered[box.rows, box.columns] = True
    assert not covered[40:300, 20:380].any()
    assert covered.sum() == 300 * 400 - 260 * 360


def test_a_verdict_shows_no_text_and_no_identifier() -> None:
    screening = screen(stored(burned(head(), Print("HARRINGTON", 18))), WHO)
    assert "HARRINGTON" not in repr(screening)


def test_facts_are_read_in_every_native_syntax_and_rules_are_closed() -> None:
    facts = read_facts(stored(head(), Manufacturer="Printer Works"))
    assert (facts.rows, facts.columns, facts.frames, facts.manufacturer) == (320, 320, 1, "Printer Works")
    assert len(shipped_rules()) > 10
    for wrong in ({"boxes": [[0, 0, 1, 1]]}, {"model": "X", "boxes": []}, {"model": "X", "box": [[0, 0, 1, 1]]}):
        with pytest.raises(ValueError, match="rule 1"):
            device_rules({"rules": [wrong]})
