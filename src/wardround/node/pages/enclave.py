"""The enclave's studies as people look for them, and one study with its images and what was drawn on them.

Only of whom nobody opted out, and only whole studies: the same as cohorts see. That somebody looked at voxels is in the
audit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from wardround.compute.worker import WorkerDied, WorkerTooSlow
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.foundation.files import ObjectStore
from wardround.node import audit
from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.cohort.selection import usable
from wardround.node.desk import Desk
from wardround.node.enclave import listing
from wardround.node.enclave.listing import AT_ONCE, Label, SeriesLine, Wanted
from wardround.node.enclave.tables import EnclaveInstance, EnclaveSeries
from wardround.node.pages import volumes
from wardround.node.pages.volumes import NotShown
from wardround.node.projects import queries as projects
from wardround.ui.forms import whole
from wardround.ui.page import Sent, Shown, Visit
from wardround.ui.viewer import LAID_OVER, NIFTI, WIDENED, Overlay, Viewing

log = logging.getLogger(__name__)

LONGEST = 120.0
"""Seconds that a volume may take."""


def studies(desk: Desk, visit: Visit) -> Shown:
    """The newest first; of one modality, one project's cohort, with or without a label, where that is asked."""
    page = whole(visit.asked("page") or "1", 6)
    if not page:
        raise NotAllowed(f"{visit.asked('page')!r} is no number of a page")
    wanted = Wanted(visit.asked("modality"), visit.asked("project"), _labelled(visit.asked("labelled")))
    with desk.home.database.reading() as session:
        asked = [row.id for row in projects.projects(session) if visit.may("see-asked", row.id)]
        if wanted.project not in asked:
            wanted = replace(wanted, project="")
        lines, count = listing.found(session, wanted, page)
        modalities = listing.modalities(session)
    values = {
        "lines": lines,
        "count": count,
        "wanted": wanted,
        "modalities": modalities,
        "projects": asked,
        "page": page,
        "pages": -(-count // AT_ONCE),
        "settings": desk.home.settings,
        "nothing": count == 0 and wanted == Wanted(),
    }
    return Shown("enclave.html", values)


def study(desk: Desk, visit: Visit) -> Shown:
    """A study and its series, one of them in the viewer: the one that is asked for, else the one with most to show."""
    wish = visit.asked("series")
    with desk.home.database.reading() as session:
        row, series = listing.study(session, visit.path["study"])
        drawn = {
            uid: author.removeprefix("person:")
            for uid, author in session.execute(
                select(AnnotationLabel.object_uid, AnnotationLabel.author).where(
                    AnnotationLabel.study == row.uid, AnnotationLabel.object_uid.is_not(None)
                )
            )
        }
    shown = next((one for one in series if one.row.uid == wish), series[0] if series else None)
    if wish and shown is not None and shown.row.uid != wish:
        raise NotFound("this study has no such series of images")
    names = {one.row.uid: _names(one.labels, drawn) for one in series}
    apart, fault = ([], "") if shown is None or not shown.several else _apart(desk, row.uid, shown.row.uid)
    which = _which(visit) or (0 if len(apart) > 1 else None)
    viewing = None
    if shown is not None and not fault:
        laid = _laid(row.uid, shown, names[shown.row.uid], which)
        viewing = viewing_of(row.uid, shown.row.uid, shown.row.modality, shown.row.description, laid, which)
    values = {
        "study": row,
        "series": series,
        "shown": shown,
        "viewing": viewing,
        "fault": fault,
        "apart": apart if len(apart) > 1 else [],
        "which": which,
        "names": names,
        "most": LAID_OVER,
    }
    return Shown("enclave_study.html", values, widened=WIDENED)


def volume(desk: Desk, visit: Visit) -> Sent:
    """A series, or that of its volumes which is asked for, as NIfTI."""
    paths = _paths(desk, visit)
    _note(desk, visit, "view-image", visit.path["series"])
    return Sent(desk.volumes.call_within(LONGEST, volumes.volume, paths, _which(visit)), NIFTI)


def picture(desk: Desk, visit: Visit) -> Sent:
    """The middle of a series, with its newest label where it has one."""
    paths = _paths(desk, visit)
    with desk.home.database.reading() as session:
        labels = listing.labels_on(session, visit.path["series"])
    _note(desk, visit, "view-image", visit.path["series"])
    label = _objects(desk).path(labels[0].digest) if labels else None
    try:
        return Sent(desk.volumes.call_within(LONGEST, volumes.picture, paths, label, _which(visit)), "image/png")
    except NotShown:
        return Sent(desk.volumes.call_within(LONGEST, volumes.picture, paths, None, _which(visit)), "image/png")


def label(desk: Desk, visit: Visit) -> Sent:
    """What was drawn on a series, as NIfTI on its grid."""
    paths = _paths(desk, visit)
    with desk.home.database.reading() as session:
        labels = listing.labels_on(session, visit.path["series"])
    digest = next((one.digest for one in labels if one.uid == visit.path["label"]), None)
    if digest is None:
        raise NotFound("this series has no such label")
    _note(desk, visit, "view-label", visit.path["label"])
    drawn = desk.volumes.call_within(LONGEST, volumes.mask, paths, _objects(desk).path(digest), _which(visit))
    return Sent(drawn, NIFTI)


def _which(visit: Visit) -> int | None:
    """Of several volumes of a series the one that is asked for, counted from 0 (from 1 in the address); None where none
    is. Raises `NotFound` for what is no number of one."""
    text = visit.asked("volume")
    number = whole(text, 6)
    if text and not number:
        raise NotFound("this series has no such volume")
    return number - 1 if number else None


def _apart(desk: Desk, study: str, series: str) -> tuple[list[str], str]:
    """What tells the volumes of a series apart; or else why the process that reads images can't say, for who looks."""
    try:
        return desk.volumes.call_within(LONGEST, volumes.apart, _files(desk, study, series)), ""
    except WorkerTooSlow as error:
        log.warning("series %s isn't shown: %s", series, error)
        return [], f"reading them took longer than {LONGEST:g} s, and was ended"
    except WorkerDied as error:
        log.warning("series %s isn't shown: %s", series, error)
        return [], "the process that reads them died; it may lack memory"


def _paths(desk: Desk, visit: Visit) -> tuple[Path, ...]:
    """The objects of the series that the address names. Raises `NotFound`."""
    return _files(desk, visit.path["study"], visit.path["series"])


def _files(desk: Desk, study: str, series: str) -> tuple[Path, ...]:
    query = (
        select(EnclaveInstance.digest)
        .join(EnclaveSeries, EnclaveSeries.uid == EnclaveInstance.series_uid)
        .where(usable(), EnclaveSeries.uid == series, EnclaveSeries.study_uid == study)
        .order_by(EnclaveInstance.position, EnclaveInstance.uid)
    )
    with desk.home.database.reading() as session:
        digests = session.scalars(query).all()
    if not digests:
        raise NotFound("no such series is in the enclave, or it may not be used")
    return tuple(_objects(desk).path(digest) for digest in digests)


def _objects(desk: Desk) -> ObjectStore:
    return ObjectStore(desk.place.objects)


def _note(desk: Desk, visit: Visit, verb: str, subject: str) -> None:
    """Before anything is read, so that nobody looks unseen."""
    with desk.home.database.writing() as session:
        audit.record(session, visit.by, verb, subject, clock=lambda: visit.at)


def viewing_of(
    study: str,
    series: str,
    modality: str | None,
    description: str | None,
    overlays: Sequence[Overlay] = (),
    which: int | None = None,
) -> Viewing:
    """A series of the enclave for the viewer, with what is laid over it, and of several volumes that one, counted from
    0."""
    words = " ".join(word for word in ("the series", modality, description) if word)
    return Viewing(
        _at(study, series, "volume.nii.gz", which),
        _at(study, series, "middle.png", which),
        words,
        modality or "",
        tuple(overlays[:LAID_OVER]),
    )


def _at(study: str, series: str, file: str, which: int | None) -> str:
    return f"/enclave/{study}/{series}/{file}{'' if which is None else f'?volume={which + 1}'}"


def _laid(study: str, shown: SeriesLine, names: Sequence[str], which: int | None) -> list[Overlay]:
    """What was drawn on a series, to be laid over it."""
    return [
        Overlay(_at(study, shown.row.uid, f"labels/{label.uid}.nii.gz", which), name)
        for label, name in zip(shown.labels, names, strict=True)
    ]


def _names(labels: Sequence[Label], drawn: dict[str | None, str]) -> list[str]:
    """What each label is called: whose it is where it was drawn here."""
    found = []
    for place, one in enumerate(labels, 1):
        author = drawn.get(one.uid)
        if author is not None:
            found.append(f"Drawn here by {author}")
        elif one.is_reference:
            found.append("Drawn by a person, came with the study")
        else:
            found.append("Made by an algorithm")
        if len(labels) > 1:
            found[-1] = f"{place}. {found[-1]}"
    return found


def _labelled(text: str) -> listing.Labelled:
    return "yes" if text == "yes" else "no" if text == "no" else ""
