"""The node's index and its desk for storage commitment, as a receiver in another process has them: over a line."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime

from wardround.dicom.network_messages import CommitmentReport, CommitmentRequest, RefusedStorage
from wardround.node.receive.arrival import Entry, Keys
from wardround.node.receive.line import Line
from wardround.node.receive.route import StudyPath


class DistantIndex:
    """An `Index`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def contents(self, study_key: str) -> list[tuple[str, str]]:
        """See `Index`."""
        found: list[tuple[str, str]] = self._line.call("contents", study_key)
        return found

    def holds_other_content(self, keys: Keys, paths: Sequence[StudyPath]) -> bool:
        """See `Index`."""
        return bool(self._line.call("holds-other-content", keys, tuple(paths)))

    def write(self, entries: Sequence[Entry], turned_away: Mapping[str, int], at: datetime) -> None:
        """See `Index`."""
        self._line.call("write", list(entries), dict(turned_away), at)


class DistantDesk:
    """Answers storage commitment; a `wardround.dicom.network.Commitments`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        # By identity, as the association tells them apart: a requestor may ask the same twice.
        self._numbers: dict[int, int] = {}

    def request(self, request: CommitmentRequest) -> CommitmentReport | RefusedStorage | None:
        """See `Commitments`."""
        number, report = self._line.call("commitment", request)
        with self._lock:
            self._numbers[id(request)] = number
        answer: CommitmentReport | RefusedStorage | None = report
        return answer

    def delivered(self, request: CommitmentRequest, *, taken: bool) -> None:
        """See `Commitments`."""
        with self._lock:
            number = self._numbers.pop(id(request), None)
        if number is not None:
            self._line.tell("delivered", number, taken)


class Told:
    """Tells the node which study a key stands for; of what was told lately, nothing again."""

    MOST_REMEMBERED = 64

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lately: dict[str, None] = {}

    def note(self, study_key: str, study_uid: str) -> None:
        """See `Landing.noted`."""
        if study_key not in self._lately:
            if len(self._lately) >= self.MOST_REMEMBERED:
                self._lately.clear()
            self._lately[study_key] = None
            self._line.tell("noted", study_key, study_uid)
