"""The pages of the de-identification review: images whose pixels may name their patient, and what a person decides.

Each picture that is shown is in the audit, as with `wardround deid review show`. It stays in this hospital: the browser
keeps no copy, and it is decoded in a process of its own.
"""

from __future__ import annotations

from wardround.dicom.pixels_boxes import Box
from wardround.dicom.pixels_reading import png
from wardround.foundation.errors import NotAllowed, NotFound
from wardround.node.desk import Desk
from wardround.node.receive.reasons import WORDS
from wardround.node.review import queries
from wardround.node.review.actions import ONE_BY_ONE, Decided, Reviews
from wardround.node.review.state import ReviewState
from wardround.ui.forms import whole
from wardround.ui.page import Moved, Sent, Shown, Visit

SHOWN = 200
AT_ONCE = 6
"""So many frames are shown together; any other is asked for by its number."""
SPARE = 3
"""So many empty rows for boxes are below those that were found."""
MOST_BOXES = 24
LONGEST = 60.0
"""Seconds that a frame may take to be decoded."""


def reviews(desk: Desk, visit: Visit) -> Shown:
    """What waits, the oldest first; with what was decided where that is asked."""
    everything = visit.asked("all") == "yes"
    with desk.home.database.reading() as session:
        lines = queries.reviews(session, state=None if everything else ReviewState.WAITING, most=SHOWN)
        counts = queries.counts(session)
    values = {
        "lines": lines,
        "waiting": counts.get(ReviewState.WAITING.value, 0),
        "everything": everything,
        "words": WORDS,
        "done": visit.asked("done"),
        "count": _number(visit.asked("count") or "0"),
        "left": _number(visit.asked("left") or "0"),
    }
    return Shown("reviews.html", values)


def review(desk: Desk, visit: Visit, identity: dict[str, str] | None = None) -> Shown:
    """One image: its uncertain frames as pictures, what was found, and the decision."""
    number = _number(visit.path["number"])
    with desk.home.database.reading() as session:
        asked = queries.review(session, number)
        alike = len(queries.reviews(session, like=number)) - 1
    frames = sorted({box.frame for box in asked.found if box.frame is not None} or asked.frames or (1,))
    chosen = _number(visit.asked("frame") or str(frames[0]))
    if not 1 <= chosen <= asked.image_frames:
        raise NotFound(f"this image has frames 1 to {asked.image_frames}")
    boxes = asked.blackened or asked.found
    values = {
        "asked": asked,
        "chosen": chosen,
        "others": [frame for frame in frames if frame != chosen][: AT_ONCE - 1],
        "boxes": boxes,
        "rows": [*boxes, *[None] * SPARE][:MOST_BOXES],
        "words": WORDS,
        "alike": alike,
        "alone": sorted(ONE_BY_ONE.intersection(asked.reasons)),
        "waiting": asked.state is ReviewState.WAITING,
        "may_decide": visit.may("decide-review"),
        "identity": identity,
    }
    return Shown("review.html", values)


def frame(desk: Desk, visit: Visit) -> Sent:
    """A frame of the original, without outlines: the page draws them over it, and lists them."""
    number, chosen = _number(visit.path["number"]), _number(visit.path["frame"])
    return Sent(_reviews(desk, visit).look(number, frame=chosen, boxes=False, actor=visit.by), "image/png")


def outlined(desk: Desk, visit: Visit) -> Sent:
    """As `frame`, with the boxes in question outlined, for a page without scripts and for looking through frames."""
    number, chosen = _number(visit.path["number"]), _number(visit.path["frame"])
    return Sent(_reviews(desk, visit).look(number, frame=chosen, actor=visit.by), "image/png")


def identity(desk: Desk, visit: Visit) -> Shown:
    """The page, with whose image it is: what to look for in the picture. Audited."""
    return review(desk, visit, _reviews(desk, visit).identity(_number(visit.path["number"]), actor=visit.by))


def approve(desk: Desk, visit: Visit) -> Moved:
    number, reason, series = _decision(visit)
    return _back("approved", _reviews(desk, visit).approve(number, reason, actor=visit.by, series=series))


def redact(desk: Desk, visit: Visit) -> Moved:
    """With the boxes of the form alone; those that screening found stand in it to begin with."""
    number, reason, series = _decision(visit)
    boxes = boxes_of(visit)
    if not boxes:
        raise NotAllowed("say what to blacken: draw a box on the picture, or fill in a row; or approve it as it is")
    return _back("redacted", _reviews(desk, visit).redact(number, boxes, reason, actor=visit.by, series=series))


def refuse(desk: Desk, visit: Visit) -> Moved:
    number, reason, series = _decision(visit)
    return _back("refused", _reviews(desk, visit).refuse(number, reason, actor=visit.by, series=series))


def boxes_of(visit: Visit) -> list[Box]:
    """The boxes of the form's rows; a row without any number is none.

    Raises:
        NotAllowed: a row is half filled, or is no box.
    """
    boxes = []
    for row in range(1, MOST_BOXES + 1):
        typed = [visit.field(f"{name}-{row}") for name in ("row", "column", "height", "width")]
        which = visit.field(f"frame-{row}")
        if not any(typed):
            continue
        if any(whole(each) is None for each in typed) or (which and whole(which) is None):
            raise NotAllowed(
                f"box {row}: row, column, height and width in whole pixels, and a frame's number or nothing for all"
            )
        try:
            top, left, height, width = map(int, typed)
            boxes.append(Box(top, left, height, width, int(which) if which else None))
        except ValueError as error:
            raise NotAllowed(f"box {row}: {error}") from None
    return boxes


def _decision(visit: Visit) -> tuple[int, str, bool]:
    return _number(visit.path["number"]), visit.field("reason"), visit.field("series") == "yes"


def _back(done: str, decided: Decided) -> Moved:
    return Moved(f"/review?done={done}&count={len(decided.done)}&left={len(decided.left)}")


def _reviews(desk: Desk, visit: Visit) -> Reviews:
    return Reviews(
        desk.home.database,
        desk.home.quarantine,
        clock=lambda: visit.at,
        draw=lambda part10, frame, boxes: desk.volumes.call_within(LONGEST, png, part10, frame, boxes),
    )


def _number(text: str) -> int:
    if (number := whole(text)) is None:
        raise NotFound(f"{text!r} is no number of a review or a frame")
    return number
