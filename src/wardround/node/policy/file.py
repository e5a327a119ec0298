"""Reading `policy.toml`, and noticing that it has changed.

A running node looks at the file whenever it is asked what is allowed, which costs one `stat`. A file that was there and
is gone, or can't be used, allows nothing that a policy could forbid: no work, and none of the messages that it limits.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError

from wardround.foundation.errors import NotAllowed
from wardround.foundation.settings import SettingsRefused, read_document
from wardround.node.policy.rules import KindRules, Policy

LOG = logging.getLogger(__name__)
FILE = "policy.toml"
LARGEST = 1024 * 1024


class PolicyUnusable(NotAllowed):
    """There is no policy that could be asked: the file is gone, or is wrong. Nothing is allowed until it is mended."""

    code = "policy-unusable"


def read_policy(path: Path) -> Policy:
    """The policy in the file `path`.

    Raises:
        SettingsRefused: the file can't be used; one line says which key, and the mend.
    """
    if path.is_file() and path.stat().st_size > LARGEST:
        raise SettingsRefused(f"{path}: larger than {LARGEST:,} bytes, which no policy is")
    document = read_document(path, "policy; put it back from a backup, or write one with `wardround node policy set`")
    try:
        # As JSON, so that nothing but the type that a key has is taken for it: no "10" for 10, no 1 for true.
        return Policy.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        raise SettingsRefused(f"{path}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    # A key that isn't known may explain whatever else is wrong.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    place = [str(part) for part in fault["loc"] if part != "[key]"]
    key = ".".join(place) or "the file"
    if fault["type"] == "extra_forbidden":
        known = _known(place[:-1])
        return f"unknown key {key!r}; {_meant(place[-1], known)}known here: {', '.join(known)}; correct or remove it"
    said = fault["msg"].removeprefix("Value error, ")
    said = f"{said[:1].lower()}{said[1:]}"
    if isinstance(fault["input"], dict) and fault["type"] == "value_error":
        return f"{key!r}: {said}; correct it"
    hint = _meant(str(fault["input"]), said.partition("there are ")[2].split(", "))
    given = f"{fault['input']!r}"[:80]
    return f"{key!r} is {given}: {said}; {hint}correct it"


def _known(place: Iterable[str]) -> list[str]:
    kind: type[BaseModel] = Policy
    for part in place:
        field = kind.model_fields.get(part)
        inner = field.annotation if field is not None else None
        # [leaving.kind.NAME] is the only table whose names are free.
        kind = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else KindRules
    return sorted(kind.model_fields)


def _meant(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, [one for one in known if one], n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}? " if close else ""


class PolicyFile:
    """One home's policy as its file says now. Threads may share it.

    Args:
        path: of `policy.toml`.
        was_there: whether this home has had a policy; asked only where the file is absent. A home that never had one
            allows what every hospital does.
    """

    def __init__(self, path: Path, was_there: Callable[[], bool]) -> None:
        self.path = path
        self._was_there = was_there
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._policy: Policy | None = None
        self._trouble: str | None = None

    def current(self) -> Policy:
        """What the file says now.

        Raises:
            PolicyUnusable: it is gone, or can't be used; the message says what and the mend.
        """
        with self._lock:
            seen = self._look()
            if seen != self._seen or (self._policy is None and self._trouble is None):
                self._read(seen)
            if self._policy is None:
                raise PolicyUnusable(f"nothing is allowed here until it is mended: {self._trouble}")
            return self._policy

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _read(self, seen: tuple[int, int, int] | None) -> None:
        was_there = self._seen is not None
        before = self._trouble
        self._seen, self._policy, self._trouble = seen, None, None
        if seen is None and not was_there and not self._was_there():
            self._policy = Policy()
            return
        try:
            self._policy = read_policy(self.path)
        except SettingsRefused as refused:
            self._trouble = str(refused)
            if before is None:
                LOG.error("no work, and nothing that a policy limits leaves: %s", refused)
