"""`routes.toml`: the hospital's own rules of where an arrival goes, in one file that a person can read.

```toml
[[rule]]
name = "localizers"
when = 'SeriesDescription like "*localizer*"'
to = "discard"
reason = "planning images are of no use here"

[[rule]]
name = "brain-mr"
when = 'Modality == "MR" and BodyPartExamined in ("BRAIN", "HEAD")'
to = "both"
```
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from wardround.foundation.settings import Settings, SettingsRefused, read_document
from wardround.node.receive.route import NO_RULE, Route, Routes, Rule
from wardround.node.receive.route_expression import ExpressionRefused, parse

FILE = "routes.toml"
_PATHWAY = re.compile(r"pathway:[a-z][a-z0-9-]{0,62}")


class _RuleSettings(Settings):
    """One `[[rule]]`. Without `when` it takes every arrival that comes so far."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    when: str | None = None
    to: str
    reason: str = Field(default="", max_length=200)
    answer: Literal["refused", "stored"] = "refused"

    @field_validator("to")
    @classmethod
    def _known(cls, value: str) -> str:
        _route(value)
        return value


class _RoutesSettings(Settings):
    rule: tuple[_RuleSettings, ...] = Field(min_length=1)


def read_routes(path: Path) -> Routes:
    """The rules in the file `path`.

    Raises:
        SettingsRefused: the file can't be used; one line says what, where, and the mend.
    """
    document = read_document(path, "file of rules")
    try:
        settings = _RoutesSettings.model_validate(document)
    except ValidationError as error:
        raise SettingsRefused(f"{path}: {_fault(error, document)}") from None
    rules: list[Rule] = []
    for number, one in enumerate(settings.rule, start=1):
        rules.append(_rule(one, f"{path}: rule {number}, {one.name!r}"))
    repeated = {rule.name for rule in rules if [other.name for other in rules].count(rule.name) > 1}
    if repeated:
        raise SettingsRefused(f"{path}: two rules are called {min(repeated)!r}; give each a name of its own")
    return Routes(tuple(rules), str(path))


def _rule(one: _RuleSettings, where: str) -> Rule:
    if one.name == NO_RULE.name:
        raise SettingsRefused(f"{where}: that is what the node calls it when no rule takes an object; rename it")
    route = _route(one.to)
    if route is Route.DISCARD and not one.reason.strip():
        raise SettingsRefused(f'{where}: it discards without a reason; add reason = "…"')
    if route is not Route.DISCARD and one.answer == "stored":
        raise SettingsRefused(f"{where}: answer is for rules that discard; remove it")
    try:
        when = None if one.when is None else parse(one.when)
    except ExpressionRefused as refused:
        raise SettingsRefused(f"{where}: when: {refused}") from None
    return Rule(one.name, when, route, one.to, one.reason.strip(), one.answer == "stored")


def _route(to: str) -> Route:
    if to in (Route.RESEARCH, Route.BOTH, Route.DISCARD):
        return Route(to)
    if _PATHWAY.fullmatch(to):
        return Route.CLINIC
    raise ValueError('not a target; there are "research", "pathway:NAME", "both" and "discard"')


def _fault(error: ValidationError, document: dict[str, object]) -> str:
    faults = error.errors(include_url=False)
    # A key that isn't known explains one that is missing: it is the same, misspelt.
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    place = list(fault["loc"])
    where = _where(place, document)
    key = str(place[-1]) if place else "the file"
    if fault["type"] == "extra_forbidden":
        known = sorted((_RoutesSettings if len(place) == 1 else _RuleSettings).model_fields)
        return f"{where}unknown key {key!r}; known here: {', '.join(known)}; correct or remove it"
    if fault["type"] == "missing":
        return f"{where}{key!r} is missing; add it"
    if place and isinstance(place[-1], int):
        return f"{where}it is {fault['input']!r} and no table; write [[rule]] above its keys"
    if place == ["rule"]:
        return "'rule' is no list of rules, or an empty one; write [[rule]] above the keys of each"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{where}{key!r} is {fault['input']!r}: {said[:1].lower()}{said[1:]}; correct it"


def _where(place: list[int | str], document: dict[str, object]) -> str:
    rules = document.get("rule")
    if len(place) < 2 or not isinstance(rules, list) or not isinstance(place[1], int):
        return ""
    rule = rules[place[1]]
    name = f", {rule.get('name')!r}" if isinstance(rule, dict) and rule.get("name") else ""
    return f"rule {place[1] + 1}{name}: "
