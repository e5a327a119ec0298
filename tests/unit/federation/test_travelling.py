"""What goes to sites is packed once for all of them, and comes back the same."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardround.federation import travelling
from wardround.federation.spool import Spool
from wardround.federation.travelling import Travelling, arrived
from wardround.foundation.stored import PIECE, Stored
from wardround.learning.arrays import to_bytes


def whole(pieces: Travelling) -> bytes:
    sent = [pieces.piece(index) for index in range(-(-pieces.size // PIECE))]
    parts = (arrived(memoryview(body), packed, index, pieces.size) for index, (body, packed) in enumerate(sent))
    return b"".join(parts)


@given(st.binary(max_size=200), st.integers(0, 3), st.integers(0, 40_000))
def test_any_bytes_come_back(start: bytes, odd: int, words: int) -> None:
    held = start + np.arange(words, dtype=np.float32).tobytes() + bytes(odd)
    assert whole(Travelling(held, Spool())) == held


def test_a_piece_is_packed_once_whoever_asks_and_in_memory_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packings: list[int] = []
    packed_by = travelling.piece_packed

    def counted(piece: bytes) -> bytes:
        packings.append(len(piece))
        return packed_by(piece)

    monkeypatch.setattr(travelling, "piece_packed", counted)
    numbers = np.random.default_rng(3)
    model = to_bytes({"w": numbers.standard_normal(6 * PIECE // 4, np.float32)})
    (tmp_path / "model").write_bytes(model)
    pieces = Travelling(Stored.of(tmp_path / "model"), Spool(tmp_path))

    tracemalloc.start()
    for _ in range(3):
        for index in range(7):
            body, packed = pieces.piece(index)
            assert packed == (index < 6) and len(body) <= PIECE
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert packings == [PIECE] * 6
    assert most < 5 * PIECE
    assert whole(pieces) == model
    assert {path.name for path in tmp_path.iterdir()} == {"model"}, "what is packed has no name"


def test_a_piece_of_another_size_than_it_should_have_is_refused() -> None:
    pieces = Travelling(bytes(PIECE), Spool())
    body, packed = pieces.piece(0)
    assert packed
    with pytest.raises(ValueError, match="unpacked"):
        arrived(memoryview(body), True, 0, PIECE - 4)
    with pytest.raises(ValueError, match="unpacked"):
        arrived(memoryview(body), True, 1, PIECE)
