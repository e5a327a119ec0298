"""`[annotation]` is closed unless it is safe."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wardround.node.settings import AnnotationSettings


def test_it_is_off_and_on_loopback_until_somebody_says_otherwise() -> None:
    settings = AnnotationSettings()
    assert (settings.enabled, settings.host, settings.readers) == (False, "127.0.0.1", 1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"host": "10.1.2.3"}, "127.0.0.1 alone"),
        ({"certificate": "a.crt"}, "both"),
        ({"origins": ("viewer",)}, "no origin"),
        ({"label": "../x"}, "label"),
        ({"readers": 0}, "readers"),
    ],
)
def test_what_is_unsafe_is_refused_with_the_mend(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AnnotationSettings(**values)
