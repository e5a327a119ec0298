"""A cohort question as plain English, for the person who decides whether it may be asked."""

from __future__ import annotations

from wardround.contracts.cohort_tree import (
    AgeAt,
    All,
    Any_,
    AtIndex,
    CodeSet,
    Criterion,
    Death,
    EthnicityIs,
    Imaging,
    Index,
    Measurement,
    Moment,
    Not,
    Order,
    Recorded,
    SexIs,
)

_SEXES = {"F": "female", "M": "male", "O": "of other sex"}
_NAMED = 6


def question(index: Index | None, where: Criterion | None) -> str:
    """`patients who …`; an index event is told after it, as `index event: …`."""
    if where is None and index is None:
        return "all patients"
    parts = [] if index is None else ["have the index event"]
    if isinstance(where, All):
        parts += [criterion(part) for part in where.of]
    elif where is not None:
        parts.append(criterion(where))
    told = f"patients who {_list(parts, 'and')}"
    if index is None:
        return told
    return f"{told} (index event, each patient's day 0: the {index.which} {moment(index.event, article='')})"


def criterion(node: Criterion) -> str:
    """What is true of a person, to go on from `who`."""
    match node:
        case Recorded() | Measurement() | Imaging():
            return f"have {moment(node)}"
        case Death():
            return "have died"
        case AgeAt():
            return f"were {_ages(node)} at {moment(node.at)}"
        case SexIs():
            return f"are {_list([_SEXES[sex] for sex in node.any_of], 'or')}"
        case EthnicityIs():
            return f"are of ethnicity or race {codes(node.codes)}"
        case Order():
            return _order(node)
        case All():
            return f"({_list([criterion(part) for part in node.of], 'and')})"
        case Any_():
            return f"(either {_list([criterion(part) for part in node.of], 'or')})"
        case Not():
            inner = criterion(node.of)
            return f"aren't among those who {inner}"


def moment(node: Moment, *, article: str = "a") -> str:
    """The event as a noun."""
    match node:
        case AtIndex():
            return "the index event"
        case Death():
            return "death" if not article else "their death"
        case Recorded():
            noun = {"condition": "condition", "procedure": "procedure", "drug": "drug", "observation": "observation"}
            lead = "an" if article and node.kind == "observation" else article
            return f"{lead} {noun[node.kind]} {codes(node.codes)}".strip()
        case Measurement():
            return f"{article} measurement {codes(node.codes)}{_values(node)}".strip()
        case Imaging():
            return _imaging(node, article)


def codes(given: CodeSet) -> str:
    named = [f"{one.vocabulary} {one.code}" for one in given.codes] + [f"OMOP {one}" for one in given.concepts]
    more = len(named) - _NAMED
    told = _list(named[:_NAMED] + ([f"{more} more codes"] if more > 0 else []), "or")
    return f"{told} (or what lies below)" if given.descendants else told


def _values(node: Measurement) -> str:
    unit = "" if node.unit in (None, "1") else f" {node.unit}"
    if node.min is not None and node.max is not None:
        return f" from {node.min:g} to {node.max:g}{unit}"
    if node.min is not None:
        return f" of {node.min:g}{unit} or more"
    return "" if node.max is None else f" of {node.max:g}{unit} or less"


def _imaging(node: Imaging, article: str) -> str:
    kind = "imaging series" if node.modality is None else f"{node.modality} series"
    lead = "" if not article else "an" if kind[0] in "iAEIOUFHLMNRSX" else "a"
    told = f"{lead} {kind}".strip()
    if node.body_part is not None:
        told += f" of the {node.body_part.lower()}"
    if node.description is not None:
        told += f' described with "{node.description}"'
    if node.manufacturer is not None:
        told += f' made by a machine of "{node.manufacturer}"'
    if node.min_thickness is not None and node.max_thickness is not None:
        told += f" with slices of {node.min_thickness:g} to {node.max_thickness:g} mm"
    elif node.min_thickness is not None:
        told += f" with slices of {node.min_thickness:g} mm or more"
    elif node.max_thickness is not None:
        told += f" with slices of {node.max_thickness:g} mm or less"
    if node.has_label is not None:
        told += " with a reference label" if node.has_label else " without a reference label"
    return told


def _ages(node: AgeAt) -> str:
    if node.min is not None and node.max is not None:
        return f"{node.min} to {node.max} years old"
    return f"{node.min} years old or more" if node.min is not None else f"{node.max} years old or less"


def _order(node: Order) -> str:
    first, other = moment(node.event), moment(node.other)
    subject = f"had {first}"
    if isinstance(node.event, Death):
        subject = "died"
    elif isinstance(node.event, AtIndex):
        subject = "had the index event"
    side = {"before": "before", "after": "after", "around": "before or after"}[node.when]
    low, high = node.min_days, node.max_days
    if high is None:
        when = f"{_days(low)} or more {side}" if low else f"on the same day as, or any time {side},"
    elif low == high:
        when = f"{_days(low)} {side}" if low else "on the same day as"
    elif low:
        when = f"{low} to {_days(high)} {side}"
    else:
        when = f"on the same day as, or up to {_days(high)} {side},"
    return f"{subject} {when} {other}"


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _list(parts: list[str], word: str) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}" if len(parts) > 2 else f"{parts[0]} {word} {parts[1]}"
