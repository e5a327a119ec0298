"""`wardround node policy`: what this hospital allows, and what that means for a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.node.policy.rules import Policy

app = typer.Typer(
    help="See, try and set what this hospital allows (policy.toml).", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
JSON = typer.Option(False, "--json", help="As JSON, for programs.")


@app.command()
def show(home: Path = HOME, as_json: bool = JSON) -> None:
    """Show every rule that holds here, those too that policy.toml leaves out, and the policy's digest."""
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    policy, file = opened.policy.current(), opened.policy_file
    opened.close()
    if as_json:
        _print({"file": str(file), "digest": policy.digest(), "rules": policy.document()})
        return
    from wardround.node.policy.words import rules_of

    where = str(file) if file.is_file() else f"{file} isn't there yet; the node writes it at its next start"
    typer.echo(f"{where}\nSHA-256 of its rules: {policy.digest()}\n")
    rules = rules_of(policy)
    width = max(map(len, rules))
    for key, words in rules.items():
        typer.echo(f"{key:<{width}}  {words}")
    typer.echo(
        f"\nWhat this means for a project: wardround node policy explain PROJECT --home {home}\n"
        f"To change it, edit a copy; `policy check COPY` says what would become of each project, `policy set COPY` "
        "puts it in force."
    )


@app.command()
def check(
    file: Path | None = typer.Argument(None, help="A policy to try; the one of the home if not given."),
    home: Path = HOME,
    as_json: bool = JSON,
) -> None:
    """Try a policy: can it be used, what would it change, and what would become of each project here?

    Exit status 1 if it can't be used, or would refuse a project that is approved here now.
    """
    from wardround.foundation.errors import NotAllowed
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.policy.explanation import explained
    from wardround.node.policy.file import read_policy
    from wardround.node.policy.words import differences
    from wardround.node.projects.queries import projects

    opened = NodeHome(home)
    tried = read_policy(file or opened.policy_file)
    changed = [] if file is None else list(differences(_present(opened.policy_file), tried))
    desk = Desk(opened)
    with opened.database.reading() as session:
        known = [row.id for row in projects(session)]
    found, unread = [], {}
    for project in known:
        try:
            found.append(explained(desk, project, tried))
        except NotAllowed as error:  # of an earlier version: nothing is done for it, whatever the policy says
            unread[project] = error
    desk.close()
    stopped = [one.project for one in found if one.state in ("approved", "running") and not one.verdict.allowed]
    if as_json:
        _print(
            {
                "digest": tried.digest(),
                "changes": [{"rule": rule, "before": before, "after": after} for rule, before, after in changed],
                "projects": [
                    {"project": one.project, "state": one.state, "allowed": one.verdict.allowed} for one in found
                ]
                + [{"project": project, "state": None, "allowed": False} for project in unread],
            }
        )
    else:
        typer.echo(f"{file or opened.policy_file} can be used; SHA-256 of its rules: {tried.digest()}")
        for rule, before, after in changed:
            typer.echo(f"  {rule}: {before} -> {after}")
        for one in found:
            word = "allowed" if one.verdict.allowed else f"refused ({one.verdict.refusals[0].rule})"
            typer.echo(f"  project {one.project} ({one.state}): {word}")
        for why in unread.values():
            typer.echo(f"  {why}")
    if stopped:
        typer.echo(f"It would stop work that is approved here: {', '.join(stopped)}.", err=True)
        raise typer.Exit(1)


@app.command()
def explain(
    project: str = typer.Argument(..., help="The project's short name."),
    policy: Path | None = typer.Option(None, "--policy", help="A policy to try; the one of the home if not given."),
    home: Path = HOME,
    as_json: bool = JSON,
) -> None:
    """Show what would be allowed of a project here and what not, rule by rule, and why.

    Exit status 1 if the policy refuses it.
    """
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome
    from wardround.node.policy.explanation import explained
    from wardround.node.policy.file import read_policy

    desk = Desk(NodeHome(home))
    rules = desk.home.policy.current() if policy is None else read_policy(policy)
    found = explained(desk, project, rules)
    desk.close()
    if as_json:
        _print(
            {
                "project": project,
                "state": found.state,
                "allowed": found.verdict.allowed,
                "policy": rules.digest(),
                "people": found.people,
                "terms": found.verdict.terms.model_dump(mode="json"),
                "works_now": found.works_now,
                "findings": [
                    {
                        "rule": one.rule,
                        "outcome": one.outcome,
                        "words": one.words,
                        "instead": one.instead or None,
                        "code": one.code if one.outcome == "refused" else None,
                    }
                    for one in found.verdict.findings
                ],
            }
        )
    else:
        allowed = "allowed" if found.verdict.allowed else "refused"
        typer.echo(f"{project} ({found.state}): {allowed} by the policy {rules.digest()[:16]}")
        width = max(len(one.rule) for one in found.verdict.findings)
        for one in found.verdict.findings:
            typer.echo(f"  {one.outcome:<9}  {one.rule:<{width}}  {one.in_words()}")
        if not found.works_now:
            typer.echo("No work is done at this hour; a run waits for the hour, or goes on without this hospital.")
    if not found.verdict.allowed:
        raise typer.Exit(1)


@app.command("set")
def set_(
    file: Path = typer.Argument(..., help="The new policy; it is copied into the home, comments and all."),
    home: Path = HOME,
) -> None:
    """Put a policy in force, in your name. The running node goes by it at once."""
    from wardround.cli.signin import acting
    from wardround.foundation.clock import now
    from wardround.node.home import NodeHome
    from wardround.node.policy.adoption import replace
    from wardround.node.policy.file import read_policy
    from wardround.node.policy.words import differences

    actor = acting(home, "change-policy")
    tried, text = read_policy(file), file.read_bytes()
    opened = NodeHome(home)
    changed = list(differences(_present(opened.policy_file), tried))
    replace(opened.policy, tried, text, opened.database, site=opened.site, actor=actor, clock=now)
    opened.close()
    for rule, before, after in changed:
        typer.echo(f"  {rule}: {before} -> {after}")
    typer.echo(
        f"{opened.policy_file} holds from now on, as {actor} set it; SHA-256 of its rules: {tried.digest()}. "
        f"What it means for a project: wardround node policy explain PROJECT --home {home}"
    )


def _present(file: Path) -> Policy:
    """What holds now; the first policy where there is none, or none that can be used."""
    from wardround.foundation.settings import SettingsRefused
    from wardround.node.policy.file import read_policy
    from wardround.node.policy.rules import Policy

    try:
        return read_policy(file)
    except SettingsRefused:
        return Policy()


def _print(document: object) -> None:
    import json

    typer.echo(json.dumps(document, indent=2))
