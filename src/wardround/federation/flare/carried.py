"""A leg as FLARE's engine at the hub carries it."""

from __future__ import annotations

from dataclasses import dataclass, field

from wardround.federation.engine import LegRequest, LegStatus
from wardround.federation.port import Peer


@dataclass
class CarriedLeg:
    """A leg as the engine knows it. ``watch`` is the line to the leg's own process while it runs. ``excused`` are the
    sites that told why they won't come. ``gone`` are those whose process in it was lost; ``asked`` is when a site was
    last asked in, on the monotonic clock.
    """

    request: LegRequest
    status: LegStatus
    job_id: str
    present: tuple[str, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)
    server: Peer | None = None
    watch: Peer | None = None
    begun: bool = False
    excused: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    asked: dict[str, float] = field(default_factory=dict)
