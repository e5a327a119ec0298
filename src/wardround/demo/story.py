"""What happened in a demonstration, as its report tells it."""

from __future__ import annotations

from dataclasses import dataclass, field

from wardround.contracts.disclosure import Count
from wardround.ledger.verification import Verified


@dataclass
class Story:
    """Filled step by step. `model` is the registered package's digest, `weights` that of its weights alone.

    `clinic_seconds` runs from the last image at the node to the result in the PACS. `verified` has one check of the
    whole ledger for the hub and for each site, each from its own disk.
    """

    run: str = ""
    model: str = ""
    weights: str = ""
    clinic_site: str = ""
    clinic_seconds: float = 0.0
    clinic_dice: float = 0.0
    clinic_uid: str = ""
    counts: dict[str, Count] = field(default_factory=dict)
    verified: dict[str, Verified] = field(default_factory=dict)
