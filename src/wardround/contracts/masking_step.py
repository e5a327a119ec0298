"""What is asked of a site in a masked round; apart from the messages themselves, which take a while to import."""

from __future__ import annotations

from typing import Literal

MaskingStep = Literal["advertise", "share", "input", "confirm", "reveal"]
"""In this order: the rounds 0 to 4 of the paper that `wardround.contracts.masking` names."""
