"""Annotation among several people: who has which case, who drew what, how far they agree, what is decided, and what
help saves. What is drawn, and how, is in `drawing`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from wardround.foundation.errors import Conflict, NotAllowed, NotFound
from wardround.node.annotate.cases import Case, CaseState, cases_of
from wardround.node.annotate.choice import STRATEGIES
from wardround.node.annotate.sittings import check_free, has
from wardround.node.annotate.states import IN_WORDS, LabelState
from wardround.node.annotate.tables import AnnotationLabel
from wardround.node.annotate.told import Agreement, efforts, labels_of, savings
from wardround.node.annotate.training import CLICKS, Task
from wardround.node.desk import Desk
from wardround.node.pages.enclave import viewing_of
from wardround.ui.chart import Bar, bars, legend, mondays
from wardround.ui.forms import whole
from wardround.ui.page import Moved, Shown, Visit
from wardround.ui.viewer import LAID_OVER, WIDENED, Overlay, Viewing

SHOWN = 50
WEEKS = 12
_BOTH_WAYS = ("by hand alone", "with a model's help")


def queue(desk: Desk, visit: Visit) -> Shown:
    """The cases, of one state where that is asked, from a place on where that is."""
    settings = desk.home.settings.annotation
    if not settings.enabled:
        return Shown("annotation-off.html")
    everything = cases_of(desk.home.database, desk.annotation.subjects.listed(), settings.readers, visit.at)
    state = next((one for one in CaseState if one == visit.asked("state")), None)
    chosen = [case for case in everything if state is None or case.state is state]
    first = number_of(visit.asked("from") or "0")
    shown = chosen[first : first + SHOWN]
    agreed = agreement(desk, shown, visit)
    values = {
        "counts": Counter(case.state for case in everything),
        "states": list(CaseState),
        "state": state,
        "total": len(everything),
        "mine": next((case for case in everything if case.is_with(_actor(visit))), None),
        "cases": shown,
        "first": first,
        "next": first + SHOWN if len(chosen) > first + SHOWN else None,
        "agreed": agreed,
        "mean": _mean([one.dice for pairs in agreed.values() for one in pairs]),
        "strategies": STRATEGIES,
        "trained": desk.annotation.training.network is not None,
        "training": _training(desk),
        "settings": settings,
        "me": _actor(visit),
        "may_draw": visit.may("annotate-images"),
        "done": visit.asked("done"),
    }
    return Shown("annotation.html", values)


def take(desk: Desk, visit: Visit) -> Moved:
    """The next case by the strategy that the form names; back to the queue where none is left."""
    check_on(desk)
    given = desk.annotation.take(visit.field("strategy"), visit.by)
    return Moved("/annotation?done=none-left" if given is None else f"/annotation/cases/{given.series}/draw")


def take_this(desk: Desk, visit: Visit) -> Moved:
    """This very case; a refusal says who has it."""
    check_on(desk)
    return Moved(f"/annotation/cases/{desk.annotation.take_case(visit.path['series'], visit.by).series}/draw")


def give_back(desk: Desk, visit: Visit) -> Moved:
    check_on(desk)
    desk.annotation.give_back(visit.by)
    return Moved("/annotation?done=given-back")


def accept(desk: Desk, visit: Visit) -> Moved:
    """By the same verb as `wardround node annotate accept`."""
    check_on(desk)
    row = desk.annotation.labels.accept(
        number_of(visit.path["number"]), actor=visit.by, note=visit.field("note")[:2000]
    )
    return Moved(f"/annotation/cases/{row.series}?done=accepted")


def reject(desk: Desk, visit: Visit) -> Moved:
    """By the same verb as `wardround node annotate reject`."""
    check_on(desk)
    number, reason = number_of(visit.path["number"]), visit.field("reason")[:2000]
    row = desk.annotation.labels.reject(number, actor=visit.by, reason=reason)
    return Moved(f"/annotation/cases/{row.series}?done=rejected")


def train(desk: Desk, visit: Visit) -> Moved:
    """Have clicks learn from what was drawn, in a process that steps behind. Raises `Conflict` where they do already,
    or there is nothing to learn from."""
    check_on(desk)
    desk.annotation.training.start(CLICKS, {}, actor=visit.by)
    return Moved("/annotation#clicks")


def stop_training(desk: Desk, visit: Visit) -> Moved:
    """What was learned before stays. Raises `NotFound` where nothing is trained."""
    check_on(desk)
    desk.annotation.training.stop(actor=visit.by)
    return Moved("/annotation#clicks")


def minutes(desk: Desk, visit: Visit) -> Shown:
    """What help saves, beside what the same people take by hand."""
    settings = desk.home.settings.annotation
    if not settings.enabled:
        return Shown("annotation-off.html")
    found = efforts(desk.home.database)
    saved = savings(found)
    compared = {one.helped.person for one in saved}
    labels = labels_of(desk.home.database)
    timed = [row for row in labels if row.seconds is not None]
    weeks = mondays(visit.at, WEEKS)
    columns = []
    for week in weeks:
        within = [row for row in timed if week <= row.saved_at < week + timedelta(weeks=1)]
        helped = sum(1 for row in within if row.model)
        columns.append(Bar(f"{week:%d %b}", (float(len(within) - helped), float(helped))))
    values = {
        "people": [(person, list(both)) for person, both in groupby(found, key=lambda one: one.person)],
        "saved": {one.helped.person: one for one in saved},
        "whole": sum(one.minutes for one in saved),
        "cases": sum(one.helped.cases for one in saved),
        "missing": sorted({one.person for one in found} - compared),
        "timed": len(timed),
        "untimed": len(labels) - len(timed),
        "chart": bars("Cases that were drawn in each of the last 12 weeks", _BOTH_WAYS, columns, every=2, whole=True),
        "legend": legend(_BOTH_WAYS, "bar"),
    }
    return Shown("annotation-minutes.html", values)


def case_of(desk: Desk, visit: Visit, series: str = "") -> Case:
    """The case of a series, of the one that the address names where none is.

    Raises:
        NotFound: it isn't here, or may not be used.
        NotAllowed: annotation is off.
    """
    check_on(desk)
    subject = desk.annotation.subjects.find(series or visit.path["series"])
    return cases_of(desk.home.database, [subject], desk.home.settings.annotation.readers, visit.at)[0]


def viewing(found: Case, overlays: Sequence[Overlay] = ()) -> Viewing:
    """The case's image as the enclave's pages serve it."""
    one = found.subject
    return viewing_of(one.study, one.series, one.modality, one.description, overlays)


def may_see(desk: Desk, case: Case, label: AnnotationLabel, visit: Visit) -> bool:
    """Whether a label may be shown: nobody who has a case before them is led by what another drew of it, where several
    people are to draw each."""
    alone = desk.home.settings.annotation.readers == 1 or not case.is_with(visit.by)
    return alone or label.author == visit.by or label.state == LabelState.ACCEPTED


def agreement(desk: Desk, cases: Sequence[Case], visit: Visit) -> Mapping[str, Sequence[Agreement]]:
    """By series, of those that several people drew and that aren't before the visitor."""
    drawn = [case for case in cases if len({row.author for row in case.standing}) > 1]
    several = [case.subject.series for case in drawn if not case.is_with(_actor(visit))]
    found = desk.annotation.agreements(several) if several else []
    return {series: list(pairs) for series, pairs in groupby(found, key=lambda one: one.series)}


def case(desk: Desk, visit: Visit) -> Shown:
    """One case: its labels, of which those that may be shown, and what can be decided on each."""
    found = case_of(desk, visit)
    series, readers = found.subject.series, desk.home.settings.annotation.readers
    with desk.home.database.reading() as session:
        theirs = has(session, series, actor=visit.by)
        try:
            check_free(session, series, readers, actor=visit.by)
            why_not = ""
        except Conflict as refusal:
            why_not = str(refusal)
    seen = [row for row in found.labels if may_see(desk, found, row, visit)]
    overlays = [
        Overlay(f"/annotation/labels/{row.id}.nii.gz", f"Version {row.version}, {row.author.removeprefix('person:')}")
        for row in seen[-LAID_OVER:]
    ]
    values: dict[str, Any] = {
        "case": found,
        "seen": seen,
        "theirs": theirs,
        "why_not": why_not,
        "viewing": viewing(found, overlays),
        "agreed": agreement(desk, [found], visit).get(series, ()),
        "in_words": {state.value: words for state, words in IN_WORDS.items()},
        "me": _actor(visit),
        "may_decide": visit.may("decide-label"),
        "settings": desk.home.settings.annotation,
        "done": visit.asked("done"),
    }
    return Shown("annotation-case.html", values, widened=WIDENED)


def check_on(desk: Desk) -> None:
    if not desk.home.settings.annotation.enabled:
        raise NotAllowed("annotation is off here; an engineer sets enabled = true under [annotation] in node.toml")


def _training(desk: Desk) -> Task | None:
    """The training that goes on, or the last one since this node was served."""
    try:
        return desk.annotation.training.status(running_only=False)
    except NotFound:
        return None


def _actor(visit: Visit) -> str:
    return visit.somebody.actor


def number_of(text: str) -> int:
    """Raises `NotFound` for what is no number of anything here."""
    if (number := whole(text)) is None:
        raise NotFound(f"nothing has the number {text!r} here")
    return number


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
