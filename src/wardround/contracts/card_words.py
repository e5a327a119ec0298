"""A model card as Markdown: what the program knows first, then what people wrote, each under its own head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from wardround.contracts.model_card import UNACCEPTABLE, CardText, Hazard, SafetyCase

Section = tuple[str, Sequence[str]]
"""A head, and lines for a list below it."""


@dataclass(frozen=True, slots=True)
class Written:
    """The last edition of what people wrote."""

    text: CardText
    by: str
    at: datetime


def card(title: str, known: Sequence[Section], written: Written | None, *, edit: str) -> str:
    """The card.

    Args:
        known: what the program knows, by section; one without lines says so.
        edit: the command that keeps what people write, told where nobody wrote anything yet.
    """
    parts = [f"# {title}"]
    for head, lines in known:
        parts.append(f"## {head}\n" + ("\n".join(f"- {line}" for line in lines) or "Nothing is known of it."))
    head = "## Written by people\n"
    if written is None:
        parts.append(f"{head}Nothing yet. Write it: {edit} MODEL --edit FILE")
    else:
        parts += [f"{head}By {written.by} on {written.at:%Y-%m-%d}.", *_of_people(written.text)]
    return "\n\n".join(parts) + "\n"


def _of_people(text: CardText) -> Iterator[str]:
    yield "### Use\n" + "\n".join(
        [
            f"- licence: {text.licence or 'not stated'}",
            f"- intended use: {text.intended_use.strip() or 'not stated'}",
            *(f"- not for: {line}" for line in text.exclusions),
            *(f"- limitation: {line}" for line in text.limitations),
            *([f"- contact: {text.contact}"] if text.contact else []),
        ]
    )
    if text.hazards:
        head = "| hazard | what may go wrong | effect | risk | controls | risk left | owner |"
        yield "\n".join(["### Hazard log", head, "|---" * 7 + "|", *map(_hazard, text.hazards)])
    for name, case in (("DCB0129 (manufacturer)", text.dcb0129), ("DCB0160 (deployment)", text.dcb0160)):
        if case is not None:
            yield f"### {name}\n{_case(case)}"
    if text.dtac is not None:
        areas = text.dtac.model_dump()
        yield "### DTAC\n" + "\n".join(
            f"- {area.replace('_', ' ')}: {said.strip() or 'not stated'}" for area, said in areas.items()
        )
    if text.changes:
        yield "### Changes planned in advance (PCCP)\n" + "\n".join(
            f"- {one.change}\n  - how it is shown to be safe: {one.protocol.strip()}\n  - impact: {one.impact.strip()}"
            for one in text.changes
        )


def _hazard(one: Hazard) -> str:
    left = f"{one.risk_left}{' (unacceptable)' if one.risk_left >= UNACCEPTABLE else ''}"
    controls = "; ".join(one.controls) or "none"
    cells = (one.name, one.hazard, one.effect, str(one.risk), controls, left, one.owner)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _case(case: SafetyCase) -> str:
    return (
        f"- {case.organisation}; clinical safety officer {case.safety_officer}\n"
        f"- report: {case.report}\n- plan: {case.plan}"
    )
