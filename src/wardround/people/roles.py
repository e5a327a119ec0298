"""The roles that a person may hold, and at which program."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Program(StrEnum):
    """A program with people of its own: no account, role or session of one is known to the other."""

    HUB = "hub"
    NODE = "node"


class Role(StrEnum):
    """What somebody is trusted to do; what that comes to is in `rights.RIGHTS`."""

    RESEARCHER = "researcher"
    DATA_CONTROLLER = "data-controller"
    ENGINEER = "engineer"
    RADIOLOGIST = "radiologist"
    SAFETY_OFFICER = "safety-officer"
    PATHWAY_LEAD = "pathway-lead"
    OPERATOR = "operator"


ROLES_AT: Mapping[Program, frozenset[Role]] = {
    Program.HUB: frozenset({Role.RESEARCHER, Role.OPERATOR}),
    Program.NODE: frozenset(
        {
            Role.DATA_CONTROLLER,
            Role.ENGINEER,
            Role.RADIOLOGIST,
            Role.SAFETY_OFFICER,
            Role.PATHWAY_LEAD,
            Role.OPERATOR,
        }
    ),
}
"""The roles that can be given at each program. An operator keeps accounts, and at the hub the sites too."""
