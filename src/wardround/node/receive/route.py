"""Where an arrival goes: to research, to the clinic, to both, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from wardround.node.receive.arrival import Arrival


class StudyPath(StrEnum):
    """One of the two paths of a study through a node; each keeps its own copy."""

    RESEARCH = "research"
    CLINIC = "clinic"


class Route(StrEnum):
    RESEARCH = "research"
    CLINIC = "clinic"
    BOTH = "both"
    REFUSED = "refused"

    @property
    def paths(self) -> tuple[StudyPath, ...]:
        """The paths that a copy goes down; none for a refused arrival."""
        if self is Route.BOTH:
            return (StudyPath.RESEARCH, StudyPath.CLINIC)
        return () if self is Route.REFUSED else (StudyPath(self.value),)


Router = Callable[[Arrival], Route]
"""Decides from an arrival alone; it is called once for each instance and must not block."""


def by_called_title(routes: Mapping[str, Route | str], *, otherwise: Route = Route.REFUSED) -> Router:
    """Route by the AE title that the sender called (PS3.8 section 9.3.2).

    Args:
        routes: AE title to route, as in the node's settings.
        otherwise: what becomes of arrivals under any other title.

    Raises:
        ValueError: a route is none of research, clinic, both, refused.
    """
    table = {title.strip(): Route(route) for title, route in routes.items()}
    return lambda arrival: table.get(arrival.called_title.strip(), otherwise)
