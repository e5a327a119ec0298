"""The node's side of what a receiver in another process asks for: the index, and who answers storage commitment."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from wardround.dicom.network_messages import CommitmentReport, CommitmentRequest, Commitments, RefusedStorage
from wardround.node.receive.arrival import Entry
from wardround.node.receive.index import Index
from wardround.node.receive.line import Answers
from wardround.node.receive.terms import Terms


@dataclass(frozen=True, slots=True)
class House:
    """What the node does for its receivers. All but `commitments` may be called from any thread.

    index: where entries are written. arrived: told what the index has learnt through a receiver. counted: told a
    reason that is counted. take_over: registers what lies in the bays of processes that are gone; may raise OSError
    and IndexUnavailable. noted: see `Landing`.
    """

    index: Index
    arrived: Callable[[Sequence[Entry]], None]
    counted: Callable[[str], None]
    take_over: Callable[[], object]
    noted: Callable[[str, str], None] = lambda _key, _uid: None
    commitments: Commitments | None = None


class Clerk:
    """Answers what one receiver asks, over its line.

    Args:
        ready: called once the receiver can take connections.
    """

    def __init__(self, terms: Terms, house: House, *, ready: Callable[[], None]) -> None:
        self._terms = terms
        self._house = house
        self._ready = ready
        self._numbers = itertools.count()
        self._asked: dict[int, CommitmentRequest] = {}

    def answers(self) -> Answers:
        """By the names that `distant` and `receiver` call them."""
        return {
            "terms": lambda: self._terms,
            "ready": self._ready,
            "contents": self._house.index.contents,
            "holds-other-content": self._house.index.holds_other_content,
            "write": self._write,
            "noted": self._house.noted,
            "commitment": self._commitment,
            "delivered": self._delivered,
            "log": lambda level, name, text: logging.getLogger(name).log(level, "%s", text),
        }

    def close(self) -> None:
        """What it was asked and didn't deliver goes another way."""
        for number in list(self._asked):
            self._delivered(number, taken=False)

    def _write(self, entries: Sequence[Entry], turned_away: Mapping[str, int], at: datetime) -> None:
        self._house.index.write(entries, turned_away, at)
        self._house.arrived(entries)

    def _commitment(self, request: CommitmentRequest) -> tuple[int, CommitmentReport | RefusedStorage | None]:
        desk = self._house.commitments
        if desk is None:
            raise OSError("storage commitment isn't answered here")
        report = desk.request(request)
        number = next(self._numbers)
        self._asked[number] = request
        return number, report

    def _delivered(self, number: int, taken: bool) -> None:
        request = self._asked.pop(number, None)
        if request is not None and self._house.commitments is not None:
            self._house.commitments.delivered(request, taken=taken)
