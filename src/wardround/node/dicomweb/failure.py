"""What a client is told when it gets no answer: a status and one short line, never a name, a value or a path."""

from __future__ import annotations


class WebFailure(Exception):
    """An HTTP status (RFC 9110) and a line for the client. warned: it is told in a Warning header too."""

    def __init__(self, status: int, text: str, *, warned: bool = False) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text
        self.warned = warned


def warning(text: str) -> str:
    """The value of a Warning header (RFC 7234 5.5)."""
    return f'299 wardround "{text}"'


def bad_request(text: str) -> WebFailure:
    return WebFailure(400, text)


def not_found() -> WebFailure:
    return WebFailure(404, "nothing of this name is here")


def not_acceptable(text: str) -> WebFailure:
    return WebFailure(406, text)
