"""What people write about a model version, kept apart from what the program knows of it.

Its parts are those that a hospital in England is asked for: licence, intended use and exclusions; a hazard log with the
risk matrix of DCB0129 and DCB0160 (clinical risk management of the manufacturer and of the deploying organisation, NHS
England); the five areas of the DTAC (Digital Technology Assessment Criteria); and changes planned in advance (PCCP, FDA
guidance of December 2024: what changes, how it is shown to be safe, and what it may do).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from wardround.contracts.base import Frozen

Text = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=400, pattern=r"^[^\x00-\x1f]*$")]
HazardName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,19}$")]

Severity = Literal["minor", "significant", "considerable", "major", "catastrophic"]
Likelihood = Literal["very-low", "low", "medium", "high", "very-high"]

_SEVERITIES: tuple[Severity, ...] = ("minor", "significant", "considerable", "major", "catastrophic")
_RISKS: Mapping[Likelihood, tuple[int, int, int, int, int]] = {
    "very-high": (3, 4, 4, 5, 5),
    "high": (2, 3, 3, 4, 5),
    "medium": (2, 2, 3, 3, 4),
    "low": (1, 2, 2, 3, 4),
    "very-low": (1, 1, 2, 2, 3),
}
UNACCEPTABLE = 4
"""From this risk on a hazard has to be reduced before a system is used."""


def risk(severity: Severity, likelihood: Likelihood) -> int:
    """1 (least) to 5, by the matrix of the hazard log that NHS England gives with DCB0129."""
    return _RISKS[likelihood][_SEVERITIES.index(severity)]


class Hazard(Frozen):
    """One line of a hazard log: what may go wrong, before and after what is done about it. `owner` is a role."""

    name: HazardName
    hazard: Line
    effect: Line
    causes: tuple[Line, ...] = ()
    severity: Severity
    likelihood: Likelihood
    controls: tuple[Line, ...] = ()
    severity_left: Severity
    likelihood_left: Likelihood
    owner: Line

    @model_validator(mode="after")
    def _no_less_for_nothing(self) -> Hazard:
        if not self.controls and self.risk_left < self.risk:
            raise ValueError(f"{self.name}: the risk that is left is smaller, and no control says why")
        return self

    @property
    def risk(self) -> int:
        return risk(self.severity, self.likelihood)

    @property
    def risk_left(self) -> int:
        return risk(self.severity_left, self.likelihood_left)


class SafetyCase(Frozen):
    """Who stands for clinical safety, and where the safety case report and the plan are kept."""

    organisation: Line
    safety_officer: Line
    report: Line
    plan: Line


class Dtac(Frozen):
    """Where each area's answers are kept, or what they are in short."""

    clinical_safety: Text = ""
    data_protection: Text = ""
    technical_security: Text = ""
    interoperability: Text = ""
    usability: Text = ""


class PlannedChange(Frozen):
    """A change that was planned in advance: within these bounds it is no new device."""

    change: Line
    protocol: Text
    impact: Text


class CardText(Frozen):
    """All that people write about a model version; each edition is whole."""

    licence: Line | None = None
    intended_use: Text = ""
    exclusions: tuple[Line, ...] = ()
    limitations: tuple[Line, ...] = ()
    contact: Line | None = None
    hazards: Annotated[tuple[Hazard, ...], Field(max_length=500)] = ()
    dcb0129: SafetyCase | None = None
    dcb0160: SafetyCase | None = None
    dtac: Dtac | None = None
    changes: Annotated[tuple[PlannedChange, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _each_hazard_once(self) -> CardText:
        names = [hazard.name for hazard in self.hazards]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"hazard {twice[0]} is there twice; give each a name of its own")
        return self

    @property
    def unacceptable(self) -> tuple[Hazard, ...]:
        """The hazards whose risk is too high still."""
        return tuple(hazard for hazard in self.hazards if hazard.risk_left >= UNACCEPTABLE)
