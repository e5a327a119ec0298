"""Whoever looks at what left is told of each kind what it is, in words."""

from __future__ import annotations

from typing import get_args

from wardround.contracts.outbound import Outbound
from wardround.node.pages.leaving import KINDS


def test_every_kind_of_message_has_its_words() -> None:
    [union, *_] = get_args(Outbound)
    kinds = {message.model_fields["kind"].default for message in get_args(union)}
    assert set(KINDS) == kinds
    assert all(len(words) < 100 and not words.endswith(".") for words in KINDS.values())
