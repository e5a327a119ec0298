"""Annotation in the pages: several people over one set, help over an ordinary form, and decisions by somebody else."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta

import httpx
import numpy as np
import pytest
from sqlalchemy import select
from tests.pages_lab import NodeLab, form_of, words_of

from wardround.node.annotate import work
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file, write_file
from wardround.node.annotate.work import Source
from wardround.node.audit import Audit
from wardround.node.enclave.tables import EnclaveLabel
from wardround.people.roles import Role

LEE, MAY = "radiologist", "may"


class Readers:
    """A hospital where two people draw each case; `post` sends a form as the page that has it would."""

    def __init__(self, lab: NodeLab) -> None:
        self.lab = lab
        lab.face.people.add(MAY, Role.RADIOLOGIST)
        lab.face.people.add("kim", Role.RADIOLOGIST)

    def post(self, name: str, path: str, **fields: str) -> httpx.Response:
        browser = self.lab.face.browser(name)
        return browser.post(path, data={"form": form_of(browser.get("/account")), **fields})

    def get(self, name: str, path: str) -> httpx.Response:
        return self.lab.face.browser(name).get(path)

    def take(self, name: str) -> str:
        """The series of the case that somebody is given."""
        return self.post(name, "/annotation/take", strategy="first").headers["location"].split("/")[3]

    def grid(self, series: str) -> Grid:
        return work.volume_of(Source(self.lab.desk.annotation.subjects.files(series).paths))

    def drawn(self, series: str, last: int = 9) -> str:
        """A square up to a column, as the page sends it."""
        grid = self.grid(series)
        mask = np.zeros(grid.array.shape, np.uint8)
        mask[1:3, 4:9, 3:last] = 1
        return urlsafe_b64encode(write_file(Grid(mask, grid.affine), NIFTI_GZ)).decode()

    def wait(self, minutes: float) -> None:
        self.lab.clock.at += timedelta(minutes=minutes)

    def labels(self) -> list[AnnotationLabel]:
        with self.lab.home.database.reading() as session:
            return list(session.scalars(select(AnnotationLabel).order_by(AnnotationLabel.id)))

    def audited(self, verb: str) -> list[str]:
        with self.lab.home.database.reading() as session:
            return list(session.scalars(select(Audit.actor).where(Audit.verb == verb).order_by(Audit.id)))


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Readers]:
    lab = NodeLab(tmp_path_factory.mktemp("node"), "readers = 2\n")
    yield Readers(lab)
    lab.close()


def test_two_people_draw_a_case_a_third_is_told_who_and_somebody_else_decides(readers: Readers) -> None:
    nothing = words_of(readers.get(LEE, "/annotation/minutes"))
    assert "No case was timed yet" in nothing
    series = readers.take(LEE)
    case = f"/annotation/cases/{series}"
    assert readers.take(MAY) == series
    refused = readers.post("kim", f"{case}/take")
    assert refused.status_code == 409 and f"{LEE} and {MAY} have this case before them" in words_of(refused)
    assert readers.get("kim", f"{case}/draw").status_code == 409

    # Lee is helped by clicks, over a form of the page.
    page = readers.get(LEE, f"{case}/draw")
    assert page.status_code == 200 and f'data-outline="{case}/outline"' in page.text
    assert readers.lab.desk.annotation.helping.process_ids(), "the image is being read before the first click on it"
    answer = readers.post(LEE, f"{case}/outline", model="clicks", foreground="[[6, 6, 1]]", background="[]")
    assert answer.status_code == 200, answer.text
    outline = read_file(answer.content, NIFTI_GZ).array
    assert outline.shape == readers.grid(series).array.shape and outline[1, 6, 6] == 1
    readers.wait(2)
    saved = readers.post(LEE, f"{case}/save", label=readers.drawn(series), note="the edge is unclear")
    assert saved.headers["location"] == "/annotation?done=saved"
    [first] = readers.labels()
    assert (first.author, first.model, first.note) == ("person:radiologist", "clicks", "the edge is unclear")
    assert first.seconds is not None and first.seconds >= 120 and first.voxels == 2 * 5 * 6
    assert readers.audited("save-label") == ["person:radiologist"]

    # May isn't led by it while she has the case, and is shown it afterwards.
    assert readers.get(MAY, f"/annotation/labels/{first.id}.nii.gz").status_code == 403
    before = readers.get(MAY, case)
    assert "60 voxels" not in words_of(before) and f"labels/{first.id}.nii.gz" not in before.text
    readers.post(MAY, f"{case}/save", label=readers.drawn(series, last=7))
    assert readers.get(
        MAY, f"/annotation/labels/{first.id}.nii.gz"
    ).content == readers.lab.desk.annotation.labels.files.get(first.nifti)
    assert readers.audited("view-label") == ["person:may"]
    assert "60 voxels" in words_of(readers.get(MAY, case))
    queue = words_of(readers.get(LEE, "/annotation"))
    assert "1 waits for a decision" in queue and "0.80" in queue and "version 2: may" in queue

    # Nobody accepts their own.
    own = readers.post(MAY, f"/annotation/labels/{first.id + 1}/accept")
    assert own.status_code == 403 and "somebody else than its author" in words_of(own)
    assert readers.post(LEE, f"/annotation/labels/{first.id + 1}/accept").headers["location"] == f"{case}?done=accepted"
    unsaid = readers.post(MAY, f"/annotation/labels/{first.id}/reject", reason=" ")
    assert unsaid.status_code == 403 and "say why" in words_of(unsaid)
    assert readers.post(MAY, f"/annotation/labels/{first.id}/reject", reason="too wide").status_code == 303
    assert [row.state for row in readers.labels()] == ["rejected", "accepted"]
    with readers.lab.home.database.reading() as session:
        reference = session.scalars(select(EnclaveLabel.uid).where(EnclaveLabel.labelled_series_uid == series)).all()
    assert readers.labels()[1].object_uid in reference


def test_minutes_are_compared_for_those_who_drew_both_ways_and_for_nobody_else(readers: Readers) -> None:
    series = readers.take("kim")
    readers.wait(12)
    readers.post("kim", f"/annotation/cases/{series}/save", label=readers.drawn(series))
    told = words_of(readers.get("kim", "/annotation/minutes"))
    assert "Nobody has drawn both" in told or "minutes saved" in told
    assert "Not compared, since they drew one way alone" in told and "kim" in told
    with readers.lab.home.database.writing() as session:
        # As if the same person had been helped with another case, in three minutes.
        [row] = [row for row in session.scalars(select(AnnotationLabel)) if row.author == "person:kim"]
        values = {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name != "id"}
        session.add(AnnotationLabel(**values | {"version": 40, "model": "clicks", "seconds": row.seconds - 540}))
    told = words_of(readers.get("kim", "/annotation/minutes"))
    assert "9 minutes saved, over 1 case" in told


def test_clicks_learn_from_what_was_accepted_and_can_be_stopped(readers: Readers) -> None:
    """The process itself is tried where the network is; here that it begins, is shown, and ends when it is told to."""
    nothing = readers.post(LEE, "/annotation/stop-training")
    assert nothing.status_code == 404 and "no training runs" in words_of(nothing)
    series = readers.lab.desk.annotation.subjects.listed()[0].series
    assert readers.post("kim", f"/annotation/cases/{series}/save", label=readers.drawn(series)).status_code == 303
    number = readers.labels()[-1].id
    assert readers.post(LEE, f"/annotation/labels/{number}/accept").status_code == 303
    assert readers.post(LEE, "/annotation/train").headers["location"] == "/annotation#clicks"
    told = readers.get(LEE, "/annotation")
    assert "They learn from" in words_of(told) or "The last training" in words_of(told)
    stopped = readers.post(LEE, "/annotation/stop-training")
    assert stopped.status_code in (303, 404)  # 404 where it was done already
    told = words_of(readers.get(LEE, "/annotation"))
    assert "The last training" in told and "Train them on what was drawn" in told
    assert readers.audited("train-annotation") == ["person:radiologist"]


def test_what_cannot_be_read_is_said_in_words_and_changes_nothing(readers: Readers) -> None:
    series = readers.take(MAY)
    case, before = f"/annotation/cases/{series}", len(readers.labels())
    for path, fields, words in (
        (f"{case}/outline", {"model": "clicks", "foreground": "[[999, 0, 0]]"}, "lies beside the image"),
        (f"{case}/outline", {"model": "clicks", "foreground": "no"}, "aren't JSON"),
        (f"{case}/outline", {"model": "none", "foreground": "[]"}, "no model of this name"),
        (f"{case}/save", {"label": "!?"}, "can't be read"),
        (f"{case}/save", {"label": "AAAA"}, "can't be read"),
        ("/annotation/take", {"strategy": "best"}, "no strategy of this name"),
    ):
        answer = readers.post(MAY, path, **fields)
        assert answer.status_code in (403, 404, 409) and words in words_of(answer), (path, fields, words_of(answer))
    assert len(readers.labels()) == before
    assert readers.post(MAY, "/annotation/give-back").headers["location"] == "/annotation?done=given-back"
    assert readers.audited("give-case-back") == ["person:may"]
    assert readers.get(MAY, f"{case}/draw").status_code == 409


def test_a_node_where_annotation_is_off_says_how_it_is_switched_on(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = readers.lab.home.settings
    off = settings.annotation.model_copy(update={"enabled": False})
    monkeypatch.setattr(readers.lab.home, "settings", settings.model_copy(update={"annotation": off}))
    for path in ("/annotation", "/annotation/minutes"):
        assert "Annotation is off at this node" in words_of(readers.get(LEE, path))
    assert readers.post(LEE, "/annotation/take", strategy="first").status_code == 403
