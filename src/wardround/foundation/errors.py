"""The errors that a person at a command line or a page is meant to read.

WardroundError          what went wrong, where, and the mend, in one line
├── NotAllowed          the rules of this hub or node forbid it
├── NotFound            nothing of this name is here
├── Conflict            it contradicts what is already there
└── Unreachable         the other side doesn't answer; trying again may work
"""

from __future__ import annotations


class WardroundError(Exception):
    """One line that says what, where and the mend; `code` is its word in a closed vocabulary."""

    code = "failed"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class NotAllowed(WardroundError):
    code = "not-allowed"


class NotFound(WardroundError):
    code = "not-found"


class Conflict(WardroundError):
    code = "conflict"


class Unreachable(WardroundError):
    code = "unreachable"
