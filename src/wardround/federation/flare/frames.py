"""FLARE's frames without copies of what they carry.

As FLARE has it, a frame is put together in memory that is cleared, cut off and grown again before it is sent, and what
it carried is copied out of it once more where it arrives. Every piece of a model passes three processes so.
"""

from __future__ import annotations

import importlib
from typing import Any

LARGE = 1024 * 1024 + 64 * 1024
"""Frames above this carry pieces of ours; FLARE's own are left as they are."""


def spare_copies() -> None:
    """In this process. Fails if FLARE has no such classes any more."""
    _send_in_two(importlib.import_module("nvflare.fuel.f3.sfm.sfm_conn"))
    line: Any = importlib.import_module("nvflare.fuel.f3.drivers.socket_conn").SocketConnection
    read_by_flare = line.read_frame

    def read_frame(connection: Any) -> Any:
        frame = read_by_flare(connection)
        # What is cut out of a view is no copy.
        return memoryview(frame) if len(frame) > LARGE else frame

    line.read_frame = read_frame


def _send_in_two(module: Any) -> None:
    """Send what comes before a large payload, and then that itself, as one frame still."""
    sent_by_flare, prefix_size = module.SfmConnection.send_frame, module.PREFIX_LEN

    def send_frame(connection: Any, prefix: Any, headers: dict[str, Any] | None, payload: Any) -> None:
        if not payload or len(payload) <= LARGE:
            sent_by_flare(connection, prefix, headers, payload)
            return
        text = connection.headers_to_bytes(headers) or b""
        prefix.header_len = len(text)
        prefix.length = prefix_size + len(text) + len(payload)
        prefix.sequence = connection.next_sequence()
        head = bytearray(prefix_size)
        prefix.to_buffer(head, 0)
        # Two threads' frames must not run into each other; FLARE looks for how long one has been under way.
        with connection.lock:
            _note(connection, module.time.monotonic())
            try:
                connection.conn.send_frame(head + text)
                connection.conn.send_frame(payload)
            finally:
                _note(connection, 0.0)

    module.SfmConnection.send_frame = send_frame


def _note(connection: Any, started: float) -> None:
    with connection.send_state_lock:
        connection.send_started_at = started
