"""Where an arrival goes: to research, to a pathway of the clinic, to both, or nowhere; and by which rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from wardround.node.receive.route_expression import Comparison, Expression, names
from wardround.node.receive.route_facts import CALLED_TITLE, CHARACTER_SET, TITLES, Facts, attribute


class StudyPath(StrEnum):
    """One of the two paths of a study through a node; each keeps its own copy."""

    RESEARCH = "research"
    CLINIC = "clinic"


class Route(StrEnum):
    RESEARCH = "research"
    CLINIC = "clinic"
    BOTH = "both"
    DISCARD = "discard"
    REFUSED = "refused"

    @property
    def paths(self) -> tuple[StudyPath, ...]:
        """The paths that a copy goes down; none for what is refused or discarded."""
        if self is Route.BOTH:
            return (StudyPath.RESEARCH, StudyPath.CLINIC)
        return (StudyPath(self.value),) if self in (Route.RESEARCH, Route.CLINIC) else ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `target` is as the file says it, `when` None for every arrival.

    answer_stored: of a rule that discards: tell the sender that the object was stored.
    """

    name: str
    when: Expression | None
    route: Route
    target: str
    reason: str = ""
    answer_stored: bool = False

    def holds(self, facts: Facts) -> bool:
        return self.when is None or self.when.holds(facts)


NO_RULE = Rule("no-rule", None, Route.REFUSED, "refused", "no rule takes it")
"""What takes an arrival that no rule takes."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Rules in order; the first that holds takes the arrival. `source` says where they are from, for people."""

    rules: tuple[Rule, ...]
    source: str

    @property
    def tags(self) -> frozenset[int]:
        """The attributes that the rules look at, with the character set that their texts are in."""
        return tags_of(rule.when for rule in self.rules if rule.when is not None)

    def reached_by(self, called_title: str) -> tuple[Rule, ...]:
        """The rules that may take what is sent to a title: all but those that ask for another title alone."""
        return tuple(rule for rule in self.rules if not _asks_for_another(rule.when, called_title))

    def decide(self, facts: Facts) -> Rule:
        """The rule that takes an object; `NO_RULE` where none does."""
        return next((rule for rule in self.rules if rule.holds(facts)), NO_RULE)


def tags_of(expressions: Iterable[Expression], extra: Iterable[str] = ()) -> frozenset[int]:
    """The attributes that expressions look at, and those of `extra`, with the character set that their texts are in."""
    seen = {name for expression in expressions for name in names(expression)} | set(extra)
    return frozenset({attribute(name)[0] for name in seen - set(TITLES)} | {CHARACTER_SET})


def _asks_for_another(when: Expression | None, called_title: str) -> bool:
    return (
        isinstance(when, Comparison)
        and when.name == CALLED_TITLE
        and not when.holds(Facts({}, called_title=called_title))
    )


def by_called_title(routes: Mapping[str, Route | str]) -> Routes:
    """The rules without a file: by the AE title that the sender called (PS3.8 section 9.3.2).

    Args:
        routes: AE title to route. What is sent to any other title is refused.

    Raises:
        ValueError: a route is none of research, clinic, both, refused.
    """
    rules = []
    for title, value in routes.items():
        route, name = Route(value), title.strip()
        rules.append(Rule(f"title-{name}", Comparison(CALLED_TITLE, "==", (name,)), route, route.value))
    return Routes(tuple(rules), "the built-in rules, by called title")
