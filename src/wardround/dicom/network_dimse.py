"""DIMSE command sets as bytes (PS3.7 section 9 and Annex E): Implicit VR Little Endian, group 0000 alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

NO_DATA_SET = 0x0101
_ELEMENT = struct.Struct("<HHL")
_NUMBER = struct.Struct("<H")
_LENGTH = struct.Struct("<L")


class Tag(IntEnum):
    """The elements of group 0000 that are used here (Annex E.1)."""

    GROUP_LENGTH = 0x0000
    AFFECTED_CLASS = 0x0002
    REQUESTED_CLASS = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    RESPONDED_TO = 0x0120
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    AFFECTED_INSTANCE = 0x1000
    REQUESTED_INSTANCE = 0x1001
    EVENT_TYPE = 0x1002
    ACTION_TYPE = 0x1008


class Kind(IntEnum):
    """Values of Command Field; an answer has the highest bit set (Table E.1-1)."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130
    C_CANCEL = 0x0FFF
    ANSWER = 0x8000


class Status(IntEnum):
    """What a request is answered with (PS3.7 Annex C, PS3.4 B.2.3)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    INVALID_INSTANCE = 0x0117
    MISSING_ATTRIBUTE = 0x0120
    CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123
    UNRECOGNISED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213


class InvalidCommand(Exception):
    """A command set that can't be read, or lacks what an answer needs; the association has to be aborted."""


class Command:
    """A command set that was received.

    The group length isn't looked at: nothing depends on it, and some senders count it wrongly.

    Raises:
        InvalidCommand: an element goes past the end, is repeated or of another group, or there is no command field.
    """

    __slots__ = ("_elements", "kind")

    def __init__(self, data: bytes | bytearray) -> None:
        elements: dict[int, bytes] = {}
        data = bytes(data)
        pos, end = 0, len(data)
        while pos < end:
            if end - pos < 8:
                raise InvalidCommand
            group, number, length = _ELEMENT.unpack_from(data, pos)
            pos += 8
            if group or number in elements or length > end - pos:
                raise InvalidCommand
            elements[number] = data[pos : pos + length]
            pos += length
        self._elements = elements
        kind = self.number(Tag.COMMAND_FIELD)
        if kind is None:
            raise InvalidCommand
        self.kind = kind

    def number(self, tag: Tag) -> int | None:
        """A number (VR US), None if it isn't there."""
        value = self._elements.get(tag)
        if value is None:
            return None
        if len(value) != 2:
            raise InvalidCommand
        number: int = _NUMBER.unpack(value)[0]
        return number

    def uid(self, tag: Tag) -> str:
        """A UID as it was written, without its padding; empty if it isn't there."""
        return self._elements.get(tag, b"").rstrip(b"\0 ").decode("latin-1")

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows. Raises InvalidCommand if the command doesn't say."""
        number = self.number(Tag.DATA_SET_TYPE)
        if number is None:
            raise InvalidCommand
        return number != NO_DATA_SET

    @property
    def message_id(self) -> int:
        """The number that the answer names. Raises InvalidCommand if there is none."""
        number = self.number(Tag.MESSAGE_ID)
        if number is None:
            raise InvalidCommand
        return number


def write_command(elements: Sequence[tuple[Tag, int | str]]) -> bytes:
    """A command set with its group length. ``elements`` ascend in their tags; a number is US, a text is a UID."""
    return _with_length([_element(tag, content) for tag, content in elements])


def _element(tag: Tag, content: int | str) -> bytes:
    value = _NUMBER.pack(content) if isinstance(content, int) else content.encode("latin-1")
    value += b"\0" * (len(value) & 1)
    return _ELEMENT.pack(0, tag, len(value)) + value


def _with_length(elements: Sequence[bytes]) -> bytes:
    body = b"".join(elements)
    return _ELEMENT.pack(0, Tag.GROUP_LENGTH, 4) + _LENGTH.pack(len(body)) + body


def answer(command: Command, status: int) -> bytes:
    """The answer to ``command``, with no data set. It names class, instance and action as far as the request did.

    Raises:
        InvalidCommand: the request has no message ID.
    """
    sop_class = command.uid(Tag.AFFECTED_CLASS) or command.uid(Tag.REQUESTED_CLASS)
    before, after = _around_message(sop_class, command.kind, status)
    elements = [before, _element(Tag.RESPONDED_TO, command.message_id), after]
    instance = command.uid(Tag.AFFECTED_INSTANCE) or command.uid(Tag.REQUESTED_INSTANCE)
    if instance:
        elements.append(_element(Tag.AFFECTED_INSTANCE, instance))
    action = command.number(Tag.ACTION_TYPE) if command.kind == Kind.N_ACTION else None
    if action is not None:
        elements.append(_element(Tag.ACTION_TYPE, action))
    return _with_length(elements)


@lru_cache(maxsize=64)
def _around_message(sop_class: str, kind: int, status: int) -> tuple[bytes, bytes]:
    """The elements of an answer before Message ID Being Responded To and those after it, the same for many."""
    before = _element(Tag.AFFECTED_CLASS, sop_class) if sop_class else b""
    before += _element(Tag.COMMAND_FIELD, kind | Kind.ANSWER)
    return before, _element(Tag.DATA_SET_TYPE, NO_DATA_SET) + _element(Tag.STATUS, status)
