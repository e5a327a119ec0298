"""`wardround hub people` and `wardround node people`: accounts and roles, of each program its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import HOME, acting, roster_at, secret, source, token_at

if TYPE_CHECKING:
    from wardround.people.rights import Grant
    from wardround.people.roster import Roster

NAME = typer.Argument(..., help="Somebody's name here: lower-case letters, digits and hyphens.")
PROJECT = typer.Option("", "--project", help="For this project alone.")
SITE = typer.Option("", "--site", help="At the hub: for this site alone.")


def show(home: Path = HOME) -> None:
    """List everybody who has an account, with their roles."""
    from rich.console import Console
    from rich.table import Table

    from wardround.people.accounts import lines
    from wardround.people.grants import in_words

    with roster_at(home) as roster:
        rows = lines(roster)
    if not rows:
        typer.echo("Nobody has an account: whoever owns the home acts. Begin with `people add NAME --role operator`.")
        return
    table = Table("name", "full name", "state", "roles")
    for row in rows:
        state = f"{row.state} until {row.locked_until:%Y-%m-%d %H:%M:%S}Z" if row.locked_until else row.state
        table.add_row(row.name, row.full_name, state, "\n".join(sorted(in_words(grant) for grant in row.grants)))
    Console().print(table)


def add(
    name: str = NAME,
    role: list[str] = typer.Option(..., "--role", help="A role, several by repeating it; `people rights` shows them."),
    full_name: str = typer.Option("", "--full-name", help="As they are called, for others to read."),
    project: str = PROJECT,
    site: str = SITE,
    home: Path = HOME,
) -> None:
    """Make an account. Prints the code with which the person enrols, once.

    The first of all is made by whoever owns the home, and is an operator's.
    """
    from wardround.people.accounts import add as make

    actor = acting(home, "add-person")
    with roster_at(home) as roster:
        given = [_grant(roster, each, project, site) for each in dict.fromkeys(role)]
        code, until = make(roster, name, full_name, given, actor=actor)
    _tell_code(name, code, f"{until:%Y-%m-%d %H:%M}Z", home)


def enrol(
    name: str = NAME,
    second_factor: bool = typer.Option(
        True, "--second-factor/--no-second-factor", help="Without one only where the settings say optional."
    ),
    home: Path = HOME,
) -> None:
    """Enrol with the code you were given: choose a password, and take a secret into your telephone.

    Asks for code, password and a first code of the telephone; a script gives them as lines of standard input.
    """
    from wardround.people.accounts import enrol as finish
    from wardround.people.accounts import offer_codes

    code, password = secret("Enrolment code"), secret("New password, 12 characters or more", twice=True)
    with roster_at(home) as roster:
        first = ""
        if second_factor:
            offer = offer_codes(roster, name, code, source=source())
            typer.echo("Add this to an app for time-based codes, by the link or by the secret. It is shown once.")
            typer.echo(f"  {offer.uri}\n  {offer.secret}")
            first = secret("The code that it shows now")
        codes = finish(roster, name, code, password, first, source=source())
        program = roster.program
    if codes:
        typer.echo("Recovery codes, each good once, if the telephone is lost. Keep them on paper:")
        typer.echo("\n".join(f"  {each}" for each in codes))
    typer.echo(f"{name} is enrolled. Next: wardround {program} sign-in {name} --home {home}")


def grant(
    name: str = NAME,
    role: str = typer.Argument(..., help="The role."),
    project: str = PROJECT,
    site: str = SITE,
    home: Path = HOME,
) -> None:
    """Give somebody a role. Nobody gives one to themselves."""
    from wardround.people.grants import give, in_words

    actor = acting(home, "grant-role")
    with roster_at(home) as roster:
        given = _grant(roster, role, project, site)
        give(roster, name, given, actor=actor)
    typer.echo(f"{name} is {in_words(given)} from now on.")


def revoke(
    name: str = NAME,
    role: str = typer.Argument(..., help="The role."),
    project: str = PROJECT,
    site: str = SITE,
    home: Path = HOME,
) -> None:
    """Take a role away, as it was given; whatever they do next is checked without it."""
    from wardround.people.grants import in_words, take

    actor = acting(home, "revoke-role")
    with roster_at(home) as roster:
        taken = _grant(roster, role, project, site)
        take(roster, name, taken, actor=actor)
    typer.echo(f"{name} isn't {in_words(taken)} any more.")


def reset(
    name: str = NAME,
    reason: str = typer.Option(..., "--reason", help="Why, as in `lost the telephone`; kept in the audit."),
    break_glass: bool = typer.Option(
        False, "--break-glass", help="As the owner of the home, without a session: when no operator can sign in."
    ),
    home: Path = HOME,
) -> None:
    """Void somebody's password, codes and sessions, and print a new code to enrol with. Their roles stay."""
    from wardround.people.accounts import reset as void
    from wardround.people.acting import acting_as_owner

    if not reason.strip():
        raise typer.BadParameter("say why; the reason goes into the audit")
    actor = acting_as_owner(home) if break_glass else acting(home, "reset-person")
    with roster_at(home) as roster:
        code, until = void(roster, name, actor=actor, reason=f"break-glass: {reason}" if break_glass else reason)
    _tell_code(name, code, f"{until:%Y-%m-%d %H:%M}Z", home)


def remove(name: str = NAME, home: Path = HOME) -> None:
    """Take an account out of use for good, with its roles and sessions. Its name stays taken."""
    from wardround.people.accounts import remove as take_out

    actor = acting(home, "remove-person")
    with roster_at(home) as roster:
        take_out(roster, name, actor=actor)
    typer.echo(f"{name} is removed: the account opens nothing any more.")


def unlock(name: str = NAME, home: Path = HOME) -> None:
    """End a lock-out that wrong sign-ins brought about."""
    from wardround.people.accounts import unlock as end

    actor = acting(home, "unlock-person")
    with roster_at(home) as roster:
        was = end(roster, name, actor=actor)
    typer.echo(f"{name} may sign in again." if was else f"{name} wasn't locked; the count of wrong sign-ins is zero.")


def password(home: Path = HOME) -> None:
    """Change your own password; your other sessions end. A script gives the old and the new one as lines."""
    from wardround.people.sessions import person_of
    from wardround.people.sign_in import change_password

    with roster_at(home) as roster:
        person = person_of(roster, token_at(roster, home))
        change_password(roster, person, secret("Your password"), secret("New password", twice=True), source=source())
    typer.echo(f"The password of {person.name} is changed; your other sessions have ended.")


def sessions(home: Path = HOME) -> None:
    """List the sessions that are open now."""
    from rich.console import Console
    from rich.table import Table

    from wardround.people.sessions import going_on

    with roster_at(home) as roster:
        rows = going_on(roster)
    table = Table("session", "name", "from", "since (UTC)", "last used (UTC)", "ends (UTC)")
    for row in rows:
        moments = (f"{moment:%Y-%m-%d %H:%M}" for moment in (row.made_at, row.seen_at, row.ends_at))
        table.add_row(row.id, row.person, row.source, *moments)
    Console().print(table)


def sign_out(
    name: str = typer.Argument("", help="Whose sessions to end, all of them."),
    session: str = typer.Option("", "--session", help="Or: the session to end, from `people sessions`."),
    home: Path = HOME,
) -> None:
    """End somebody's sessions, at once."""
    from wardround.people.sessions import end_all, end_session

    if bool(name) == bool(session):
        raise typer.BadParameter("say whose sessions to end, or which one with --session")
    actor = acting(home, "end-sessions")
    with roster_at(home) as roster:
        if name:
            typer.echo(f"Ended {end_all(roster, name, actor=actor)} sessions of {name}.")
        else:
            typer.echo(f"Ended the session of {end_session(roster, session, actor=actor)}.")


def rights(home: Path = HOME) -> None:
    """Show which role may do what here."""
    from rich.console import Console
    from rich.table import Table

    from wardround.people.rights import RIGHTS
    from wardround.people.roles import ROLES_AT

    with roster_at(home) as roster:
        program = roster.program
    table = Table("verb", "is to", "roles")
    for verb, right in RIGHTS.items():
        if program in right.programs:
            table.add_row(verb, right.words, ", ".join(sorted(role.value for role in right.roles & ROLES_AT[program])))
    Console().print(table)


def app_of(program: str) -> typer.Typer:
    """`people` for the hub or for the node."""
    app = typer.Typer(
        help="People of this program: accounts, roles, sessions.",
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"obj": program},
    )
    app.command("list")(show)
    app.command("sign-out")(sign_out)
    for command in (add, enrol, grant, revoke, reset, remove, unlock, password, sessions, rights):
        app.command()(command)
    return app


def _grant(roster: Roster, role: str, project: str, site: str) -> Grant:
    from wardround.people.grants import scoped
    from wardround.people.roles import ROLES_AT, Role

    try:
        return scoped(roster, Role(role), project or None, site or None)
    except ValueError:
        known = ", ".join(sorted(each.value for each in ROLES_AT[roster.program]))
        raise typer.BadParameter(f"{role!r} is no role; here there are {known}") from None


def _tell_code(name: str, code: str, until: str, home: Path) -> None:
    with roster_at(home) as roster:
        program = roster.program
    typer.echo(
        f"For {name}, once, until {until}:  wardround {program} people enrol {name} --home {home}\n"
        "It asks for this code, which isn't shown again:",
        err=True,
    )
    typer.echo(code)
