"""Every command either reads alone or names, by `acting`, a verb that the table of rights holds."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import typer

from wardround.cli.main import COMMANDS, NOUNS
from wardround.people.rights import RIGHTS

READS = {
    "node egress",
    "node projects",
    "node show",
    "node intake",
    "node worklist",
    "node optout list",
    "node dicomweb token list",
    "node annotate list",
    "node annotate agreement",
    "node annotate times",
    "project show",
    "run show",
    "run watch",
    "run export",
    "run plot",
    "run list",
    "hub sites",
    "cohort list",
    "cohort show",
    "node cohort log",
    "node policy show",
    "node policy check",
    "node policy explain",
    "node records status",
    "node model status",
    "node model plans",
    "node model gallery",
    "model list",
    "model evidence",
    "package list",
    "model export",
    "ledger verify",
    "ledger show",
    "ledger keys",
    "ledger prove",
    "ledger proof-check",
    "ledger status",
    "ledger checkpoint",
    "deid review",
    "deid statement",
    "deid profiles",
    "route test",
    "pathway list",
    "pathway check",
    "pathway show",
    "enclave status",
}
"""They change nothing that is kept: whoever may read the home may run them."""

NO_HOME = {
    *("demo", "cohort check", "deid run", "model score", "package check", "project template"),
    *("pathway test", "pathway templates"),
}
"""They work on no hub's or node's home."""

PROGRAM = {"hub init", "hub serve", "node serve"}
"""They make or run the program itself: the operating system says who may."""

OWN = {
    *(f"{program} {what}" for program in ("hub", "node") for what in ("sign-in", "sign-out")),
    *(f"{program} people {what}" for program in ("hub", "node") for what in ("enrol", "password")),
    *(f"{program} people {what}" for program in ("hub", "node") for what in ("list", "sessions", "rights")),
}
"""How a person becomes somebody here, with a secret of their own; and who is there."""

EVIDENCE = {"ledger compare"}
"""It stops the use of data, and only by a checkpoint that the hub signed."""


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, module in COMMANDS.items():
        yield name, getattr(import_module(module), name)
    for noun, module in NOUNS.items():
        yield from below(noun, import_module(module).app)


def below(path: str, app: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    callback = app.registered_callback
    if callback is not None and callback.callback is not None and callback.invoke_without_command:
        yield path, callback.callback
    for command in app.registered_commands:
        assert command.callback is not None
        yield f"{path} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from below(f"{path} {group.name}", group.typer_instance)


ALL = dict(commands())
WRITING = sorted(ALL.keys() - READS - NO_HOME - PROGRAM - OWN - EVIDENCE)


def verbs_of(function: Callable[..., Any]) -> set[str]:
    """The verbs with which a command, and what it calls of its own file, calls `acting`."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(function)))  # type: ignore[arg-type]
    bodies = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    found: set[str] = set()
    seen, waiting = set(), [function.__name__]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in bodies:
            continue
        seen.add(name)
        for call in (node for node in ast.walk(bodies[name]) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name):
                waiting.append(call.func.id)
                if call.func.id in ("acting", "acting_in_roles"):
                    verb = call.args[1]
                    assert isinstance(verb, ast.Constant), f"{function.__name__}: write the verb as it is"
                    found.add(verb.value)
    return found


@pytest.mark.parametrize("command", WRITING)
def test_a_command_that_writes_names_its_verb(command: str) -> None:
    """One that only reads is listed above; a new one that does neither fails here."""
    verbs = verbs_of(ALL[command])
    assert verbs, f"`wardround {command}` writes as nobody: give it a verb in RIGHTS and call acting(home, verb)"
    program = "hub" if command.split()[0] in ("hub", "project", "run", "model", "cohort") else "node"
    for verb in verbs:
        assert verb in RIGHTS, f"{verb} isn't in RIGHTS"
        assert program in RIGHTS[verb].programs, f"`wardround {command}` is the {program}'s, {verb} isn't"


def test_the_lists_above_name_commands_that_there_are() -> None:
    assert ALL.keys() >= READS | NO_HOME | PROGRAM | OWN | EVIDENCE


def test_no_verb_is_left_that_nothing_does() -> None:
    used = set().union(*(verbs_of(ALL[command]) for command in WRITING))
    # The pages' own, which their tests walk.
    shown = {verb for verb in RIGHTS if verb.startswith("see-")} | {"examine-model"}
    assert RIGHTS.keys() - used - shown <= {"change-policy"}


def test_a_command_that_reads_says_nobody_acted() -> None:
    for command in READS:
        assert not verbs_of(ALL[command]), f"`wardround {command}` names a verb: take it off the list of readers"
