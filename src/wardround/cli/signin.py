"""Who acts: `acting`, which every command that writes calls first; and the commands `sign-in` and `sign-out`.

A command gives `acting` its home and its verb, of `wardround.people.rights.RIGHTS`, and hands the actor on to what it
does. While a program has no account, the operating system's account that owns the home acts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from wardround.people.acting import Actor
    from wardround.people.roster import Roster

SESSION = "WARDROUND_SESSION"
"""An environment variable that may hold a session's token, for programs; otherwise it is in a file of the account's."""


def _home_of(context: typer.Context, home: Path | None) -> Path:
    """The home that was named, by option or by the program's own environment variable."""
    variable = f"WARDROUND_{str(context.obj).upper()}_HOME"
    found = home or (Path(os.environ[variable]) if os.environ.get(variable) else None)
    if found is None and not context.resilient_parsing:
        raise typer.BadParameter(f"say which {context.obj}: --home FOLDER, or set {variable}")
    if found is not None and not (found / f"{context.obj}.toml").is_file():
        raise typer.BadParameter(f"{found} isn't a {context.obj}'s home (no {context.obj}.toml)")
    return found or Path()


HOME = typer.Option(None, "--home", help="The home of this hub or node.", callback=_home_of)
"""For commands that hub and node share; whose it is says the `obj` of their context."""


def acting(home: Path, verb: str, project: str | None = None, *, site: str | None = None) -> Actor:
    """Who does `verb` at the program in `home`; refused where they may not.

    Args:
        project, site: what the verb is about; roles may be given for one project, or at the hub for one site.

    Raises:
        NotSignedIn: there are accounts, and no session, or one that has ended.
        MayNot: the person's roles don't allow it.
        NotAllowed: there are no accounts, and the home is somebody else's.
        NotFound: it isn't a home of the program where that is done.
        UnknownVerb: an error in the program: the verb isn't in the table.
    """
    return acting_in_roles(home, verb, project, site=site)[0]


def acting_in_roles(
    home: Path, verb: str, project: str | None = None, *, site: str | None = None
) -> tuple[Actor, frozenset[str]]:
    """As `acting`, with the roles in which they may: the home's owner, while there are no accounts, in any one."""
    from wardround.foundation.audit import operator
    from wardround.people.acting import acting_as, acting_as_owner
    from wardround.people.rights import right_of
    from wardround.people.sessions import NotSignedIn

    right = right_of(verb)
    # What is done at one program only opens that one's home, and says itself when it isn't one.
    [program] = right.programs if len(right.programs) == 1 else [None]
    with roster_at(home, program) as roster:
        if roster.empty():
            return acting_as_owner(home), frozenset(right.roles)
        try:
            actor, person = acting_as(roster, token_at(roster, home), verb, project, site=site)
        except NotSignedIn as refusal:
            with roster.database.writing() as session:
                roster.record(session, operator(), "refused", verb, f"{refusal.code} {project or site or ''}".strip())
            raise NotSignedIn(
                f"{right.words}: {refusal}: wardround {roster.program} sign-in NAME --home {home}"
            ) from None
        return actor, frozenset(grant.role for grant in person.grants if grant.role in right.roles)


@contextmanager
def roster_at(home: Path, program: str | None = None) -> Iterator[Roster]:
    """The people of the hub or node in `home`.

    Args:
        program: `hub` or `node`; whichever it is if not given.

    Raises:
        NotFound: it isn't such a home.
    """
    from wardround.foundation.errors import NotFound

    if program == "hub" or (program is None and (home / "hub.toml").is_file()):
        from wardround.hub.home import HubHome
        from wardround.hub.people.roster import roster_of as people_of_hub

        hub = HubHome(home)
        try:
            yield people_of_hub(hub).upgraded()
        finally:
            hub.close()
    elif program == "node" or (program is None and (home / "node.toml").is_file()):
        from wardround.node.home import NodeHome
        from wardround.node.people.roster import roster_of as people_of_node

        node = NodeHome(home)
        try:
            yield people_of_node(node).upgraded()
        finally:
            node.close()
    else:
        raise NotFound(f"{home} is neither a hub's nor a node's home; name one with --home")


def token_at(roster: Roster, home: Path) -> str:
    """The session's token that this account of the operating system has for `home`.

    Raises:
        NotSignedIn: it has none.
        NotAllowed: others may read the file that holds it.
    """
    from wardround.foundation.errors import NotAllowed
    from wardround.people.sessions import NotSignedIn

    given = os.environ.get(SESSION, "").strip()
    if given:
        return given
    file = _file(roster, home)
    try:
        state = file.stat()
        if state.st_uid != os.geteuid() or state.st_mode & 0o077:
            raise NotAllowed(f"{file} holds a session and others may read it; remove it and sign in again")
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise NotSignedIn("nobody is signed in") from None


def secret(prompt: str, *, twice: bool = False) -> str:
    """A secret that is typed without being shown or, for scripts, one line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(prompt, hide_input=True, default="", show_default=False, confirmation_prompt=twice))
    return sys.stdin.readline().rstrip("\r\n")


def source() -> str:
    """Where somebody at this command line comes from, as sign-ins are counted."""
    from wardround.foundation.audit import operator

    return operator()


def sign_in(name: str = typer.Argument(..., help="Your name here."), home: Path = HOME) -> None:
    """Sign in: your password, then a code. Commands for this home act as you until you sign out or it ends.

    Asks for both; a script gives them as two lines of standard input.
    """
    from wardround.foundation.files import write_whole
    from wardround.people.sessions import NotSignedIn
    from wardround.people.sign_in import sign_in as begin

    password, code = secret("Password"), secret("Code (from your telephone, or a recovery code)")
    with roster_at(home) as roster:
        try:
            before = token_at(roster, home)
        except NotSignedIn:
            before = ""
        signed = begin(roster, name, password, code, source=source(), replaces=before)
        file = _file(roster, home)
        idle = roster.settings.idle_minutes
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_whole(file, signed.token.encode(), mode=0o600)
    typer.echo(
        f"Signed in as {signed.name} until {signed.ends:%Y-%m-%d %H:%M}Z, or {idle:g} minutes without use. "
        f"The session is in {file}."
    )
    if signed.recovery_left is not None:
        typer.echo(f"That was a recovery code; {signed.recovery_left} are left.", err=True)
    if os.environ.get(SESSION):
        typer.echo(f"{SESSION} is set and goes before this session; unset it.", err=True)


def sign_out(home: Path = HOME) -> None:
    """End your session for this home."""
    from wardround.people.sessions import sign_out as end

    with roster_at(home) as roster:
        end(roster, token_at(roster, home))
        _file(roster, home).unlink(missing_ok=True)
    typer.echo("Signed out.")


def add_to(app: typer.Typer, program: str) -> None:
    """Give the hub's or the node's command line `sign-in` and `sign-out`."""
    app.command("sign-in", context_settings={"obj": program})(sign_in)
    app.command("sign-out", context_settings={"obj": program})(sign_out)


def _file(roster: Roster, home: Path) -> Path:
    """Where this account keeps its session for `home` (XDG Base Directory Specification: state)."""
    from hashlib import sha256

    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    place = sha256(str(home.resolve()).encode()).hexdigest()[:16]
    return state / "wardround" / "sessions" / f"{roster.program}-{roster.place}-{place}"
