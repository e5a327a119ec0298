"""The cohort question: what a researcher may ask about people. It is a tree of data, never SQL; a node compiles it.

    CohortQuestion(where=All(of=(Recorded(kind="condition", codes=...), Imaging(modality="MR"))))

`cohort_tree` has the nodes, `cohort_builder` writes the same tree as a sentence, `read_question` reads its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Self

from pydantic import ValidationError, model_validator

from wardround.contracts import cohort_words
from wardround.contracts.base import Frozen
from wardround.contracts.cohort_contradictions import impossible
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
    Not,
    Order,
    Recorded,
    Sex,
)

__all__ = ["CohortQuestion", "QuestionRefused", "Sex", "read_question"]

DEEPEST = 16
"""How deep criteria may stand in each other."""
MOST_NODES = 250
"""How many criteria and events a question may have."""
LARGEST = 64 * 1024
"""Bytes of a question's JSON."""
_DEEPEST_JSON = 2 * DEEPEST + 8
_MOST_VALUES = 20_000


class QuestionRefused(ValueError):
    """A question that can't be asked; the text says what, where in the tree, and the mend."""


class CohortQuestion(Frozen):
    """The people who have the index event, if one is given, and of whom `where` is true; without either, everybody.

    The images to be used are those of these people that an imaging event of the question finds: a series is used if
    some imaging event outside a `not` matches it and the question still holds when that event stands for this series
    alone. A question without such an event uses all images of its people.

    Raises:
        pydantic.ValidationError: a node isn't one of `cohort_tree`, the tree is too deep or too large, or nobody or
            everybody can meet a part of it.
    """

    index: Index | None = None
    where: Criterion | None = None

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        _check_bounds(data)
        return data

    @model_validator(mode="after")
    def _possible(self) -> Self:
        nodes = 0
        for _node, path, depth in _walk(self):
            nodes += 1
            if depth > DEEPEST:
                raise ValueError(f"{path}: more than {DEEPEST} criteria stand in each other; flatten the question")
        if nodes > MOST_NODES:
            raise ValueError(f"has {nodes} criteria and events; at most {MOST_NODES} can be asked at once")
        for node, path, _depth in _walk(self):
            if isinstance(node, AtIndex) and self.index is None:
                raise ValueError(f"{path}: names the index event, and the question has none; give `index`")
        if self.where is not None and (why := impossible(self.where, "where")) is not None:
            raise ValueError(why)
        return self

    def in_words(self) -> str:
        """The question as a sentence that a data controller can read."""
        return cohort_words.question(self.index, self.where)

    def nodes(self) -> Iterator[Any]:
        """Every criterion and event, each before what it holds."""
        return (node for node, _, _ in _walk(self))

    @property
    def needs_records(self) -> bool:
        """Whether images and the patient's sex alone can't answer it."""
        return any(isinstance(node, Recorded | Measurement | Death | EthnicityIs) for node in self.nodes())

    def code_sets(self) -> Iterator[tuple[str, CodeSet]]:
        """Each code set and where it stands."""
        for node, path, _ in _walk(self):
            if isinstance(node, Recorded | Measurement | EthnicityIs):
                yield f"{path}.codes", node.codes

    def imaging(self) -> tuple[Imaging, ...]:
        """The imaging events outside a `not`, each once: those whose images are used."""
        found = dict.fromkeys(
            node for node, path, _ in _walk(self, into_not=False) if isinstance(node, Imaging) and path != "index.event"
        )
        if self.index is not None and isinstance(self.index.event, Imaging):
            found = {self.index.event: None} | found
        return tuple(found)


def read_question(text: str | bytes) -> CohortQuestion:
    """The question of a JSON document, its size and depth checked before anything is built.

    Raises:
        QuestionRefused: it can't be asked.
    """
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > LARGEST:
        raise QuestionRefused(f"the question has {len(raw)} bytes; at most {LARGEST} are read")
    if _deep(raw) > _DEEPEST_JSON:
        raise QuestionRefused(f"the question is nested too deeply; {DEEPEST} criteria may stand in each other")
    try:
        document = json.loads(raw)
    except UnicodeDecodeError:
        raise QuestionRefused("the question isn't UTF-8 text; save it as such") from None
    except json.JSONDecodeError as error:
        raise QuestionRefused(f"line {error.lineno}, column {error.colno}: isn't JSON ({error.msg})") from None
    if not isinstance(document, dict):
        raise QuestionRefused("the question has to be a JSON object with `where`, and `index` if it has an index event")
    try:
        return CohortQuestion.model_validate(document)
    except ValidationError as error:
        raise QuestionRefused(told(error)) from None


def told(error: ValidationError) -> str:
    """The first fault of a question in one line: where it is in the tree, and what it is."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ""
    for part in fault["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part not in _TAGS:
            place += f".{part}" if place else part
    text = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        text = "isn't known here; leave it out, or see the list of what can be asked"
    elif fault["type"] == "union_tag_invalid":
        text = f"isn't something that can be asked; `kind` is one of {fault['ctx']['expected_tags']}"
    elif fault["type"] == "union_tag_not_found":
        text = "has no `kind`; give one, such as `imaging` or `all`"
    elif fault["type"] == "too_short":
        text = "is empty; name what it holds, or leave the whole criterion out"
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    if not place:
        return text + tail if text.startswith(("where", "index")) else f"the question {text}{tail}"
    return f"{place}: {text}{tail}"


_TAGS = frozenset(
    {"condition", "procedure", "drug", "observation", "measurement", "death", "imaging", "age", "sex", "ethnicity"}
    | {"order", "all", "any", "not"}
)


def _deep(raw: bytes) -> int:
    """How deep brackets stand in each other, outside texts; nothing recursive."""
    depth = deepest = 0
    in_text = escaped = False
    for byte in raw:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _check_bounds(data: Any) -> None:
    """Raise ValueError where plain data is deeper or larger than a question can be; nothing recursive."""
    waiting: list[tuple[Any, int]] = [(data, 0)]
    values = 0
    while waiting:
        one, depth = waiting.pop()
        values += 1
        if depth > _DEEPEST_JSON:
            raise ValueError(f"is nested too deeply; {DEEPEST} criteria may stand in each other")
        if values > _MOST_VALUES:
            raise ValueError(f"has more than {_MOST_VALUES} values; ask for less at once")
        if isinstance(one, dict):
            waiting.extend((value, depth + 1) for value in one.values())
        elif isinstance(one, list | tuple):
            waiting.extend((value, depth + 1) for value in one)


def _walk(question: CohortQuestion, *, into_not: bool = True) -> Iterator[tuple[Any, str, int]]:
    """Every criterion and event with its path and how many criteria it stands in."""
    waiting: list[tuple[Any, str, int]] = []
    if question.where is not None:
        waiting.append((question.where, "where", 1))
    if question.index is not None:
        waiting.append((question.index.event, "index.event", 1))
    while waiting:
        node, path, depth = waiting.pop()
        yield node, path, depth
        match node:
            case All() | Any_():
                parts = [(one, f"{path}.of[{number}]", depth + 1) for number, one in enumerate(node.of)]
                waiting.extend(reversed(parts))
            case Not() if into_not:
                waiting.append((node.of, f"{path}.of", depth + 1))
            case AgeAt():
                waiting.append((node.at, f"{path}.at", depth))
            case Order():
                waiting.append((node.other, f"{path}.other", depth))
                waiting.append((node.event, f"{path}.event", depth))
            case _:
                pass
