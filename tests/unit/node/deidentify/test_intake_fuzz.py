"""Damaged DICOM at the front door: not understood, refused with a reason, or clean; never a crash, never a leak."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.front_door import FrontDoor, studies

from wardround.demo.identities import Canaries
from wardround.node.receive.reception import Answer

PIXELS = 16 * 16 * 2
ORIGINAL = studies(1, canaries=True)[0].slices[0]
ANSWERS = {Answer.STORED, Answer.NOT_UNDERSTOOD, Answer.OTHER_CONTENT}

edits = st.lists(
    st.tuples(
        st.integers(128, len(ORIGINAL) - PIXELS),
        st.sampled_from(["change", "cut", "double"]),
        st.integers(0, 255),
        st.integers(1, 24),
    ),
    min_size=1,
    max_size=4,
)


def edited(changes: list[tuple[int, str, int, int]]) -> bytes:
    data = bytearray(ORIGINAL)
    for at, kind, value, length in changes:
        if kind == "change":
            data[at] = value
        elif kind == "cut":
            del data[at : at + length]
        else:
            data[at:at] = data[at : at + length]
    return bytes(data)


@pytest.fixture(scope="module")
def door() -> Iterator[FrontDoor]:
    with tempfile.TemporaryDirectory() as home:
        made = FrontDoor(Path(home))
        yield made
        made.close()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(max_examples=150, deadline=None)
@given(changes=edits)
def test_each_damaged_object_ends_refused_or_clean(door: FrontDoor, changes: list[tuple[int, str, int, int]]) -> None:
    before = {file for file in door.objects.root.rglob("*") if file.is_file()}
    [answer] = door.give(edited(changes))
    assert answer in ANSWERS
    progress = door.tick()
    assert progress.done <= 1
    new = {file for file in door.objects.root.rglob("*") if file.is_file()} - before
    for file in new:
        assert Canaries().found_in(file.read_bytes()) == []
