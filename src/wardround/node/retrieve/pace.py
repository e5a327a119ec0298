"""How fast the hospital lets its PACS be asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from wardround.node.retrieve.hours import Hours


@dataclass(frozen=True, slots=True)
class Pace:
    """When, how many studies an hour (evenly apart), how many requests at once, how many tries of a study, how long
    before the second one (doubled each time), and how long to wait for what the PACS says it sent."""

    hours: Hours
    studies_per_hour: float = 60
    concurrent: int = 1
    attempts: int = 5
    backoff: timedelta = timedelta(minutes=1)
    wait: timedelta = timedelta(minutes=10)
