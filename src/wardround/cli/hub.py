"""`wardround hub`: what a federation's operator does."""

from __future__ import annotations

from pathlib import Path

import typer

from wardround.cli import people, signin
from wardround.cli.signin import acting

app = typer.Typer(
    help="The coordinator: start it, invite hospitals, watch them.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The hub's home.", envvar="WARDROUND_HUB_HOME")


@app.command()
def init(
    home: Path = HOME,
    name: str = typer.Option(..., "--name", help="The federation's short name, as in `lung-net`."),
    host: str = typer.Option(..., "--host", help="Name or address by which nodes reach this hub."),
    listen: str = typer.Option("0.0.0.0", "--listen", help="Address that the ports are bound to."),  # noqa: S104
    api_port: int = typer.Option(8443, "--api-port", help="Port for members."),
    enrol_port: int = typer.Option(8444, "--enrol-port", help="Port on which invited sites join."),
    engine_port: int = typer.Option(8445, "--engine-port", help="Port of the federated engine."),
    database: str = typer.Option("", "--database", help="SQLAlchemy URL; SQLite in the home if not given."),
    certificate_hours: float = typer.Option(24, "--certificate-hours", help="How long a site's certificate lasts."),
    faults: int = typer.Option(
        0,
        "--faults",
        min=0,
        max=1000,
        help="How many hospitals may cosign two ledgers without harm; fixed from here on.",
    ),
) -> None:
    """Make a new hub: its root of trust, its keys, its database, and the ledger's first entry."""
    from pydantic import ValidationError

    from wardround.hub.home import make_hub_home
    from wardround.hub.settings import HubSettings

    try:
        settings = HubSettings(
            federation=name,
            host=host,
            listen=listen,
            api_port=api_port,
            enrol_port=enrol_port,
            engine_port=engine_port,
            database=database,
            certificate_hours=certificate_hours,
            faults=faults,
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{fault['loc'][0]}: {fault['msg']}") from None
    made = make_hub_home(home, settings)
    typer.echo(f"Made hub {made.federation!r} in {made.path}. Next: wardround hub serve --home {home}")
    if faults:
        typer.echo(
            f"Of n hospitals more than (n + {faults}) / 2 have to cosign the ledger: nothing is trained before "
            f"{faults + 1} have joined. To bear {faults} that say nothing at all it takes {3 * faults + 1} hospitals."
        )
    made.close()


@app.command()
def serve(
    home: Path = HOME,
    ready_file: Path | None = typer.Option(None, "--ready-file", help="Written once both ports take connections."),
) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from wardround.foundation.files import write_whole
    from wardround.foundation.logs import log_to
    from wardround.hub.app import build
    from wardround.hub.home import HubHome
    from wardround.hub.serving import run

    opened = HubHome(home)
    log_to(opened.log, "hub")
    settings = opened.settings

    def ready() -> None:
        typer.echo(
            f"Serving federation {settings.federation!r}: members on port {settings.api_port}, "
            f"joining on port {settings.enrol_port}. Ctrl-C stops."
        )
        if ready_file is not None:
            write_whole(ready_file, b"ready\n", mode=0o644)

    run(build(opened), ready)


@app.command()
def invite(site: str = typer.Argument(..., help="The site's short name, as in `north`."), home: Path = HOME) -> None:
    """Print a one-time token with which a hospital joins."""
    from pydantic import TypeAdapter, ValidationError

    from wardround.contracts.base import SiteName
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.sites.actions import invite as invite_site

    try:
        TypeAdapter(SiteName).validate_python(site)
    except ValidationError:
        raise typer.BadParameter(
            f"{site!r} can't be a site's name: 2 to 40 lower-case letters, digits and hyphens, a letter first"
        ) from None
    actor = acting(home, "invite-site", site=site)
    opened = HubHome(home)
    with opened.database.writing() as session:
        token = invite_site(session, opened, site, actor=actor, now=now())
    typer.echo(
        f"For {site}, once, until {token.expires:%Y-%m-%d %H:%M}Z:  wardround node join TOKEN --home DIR", err=True
    )
    typer.echo(str(token))
    opened.close()


@app.command()
def revoke(
    site: str = typer.Argument(..., help="The site to shut out."),
    reason: str = typer.Option(..., "--reason", help="Why; kept in the audit."),
    left: bool = typer.Option(False, "--left", help="The hospital asked to leave; the ledger says so."),
    home: Path = HOME,
) -> None:
    """Shut a site out, at once and for good; its witness counts no more. What it recorded stays on the ledger."""
    from wardround.foundation.clock import now
    from wardround.hub.home import HubHome
    from wardround.hub.sites.actions import revoke as revoke_site
    from wardround.ledger.log import Log

    actor = acting(home, "revoke-site", site=site)
    opened = HubHome(home)
    log = Log(opened.ledger_origin, opened.ledger_key)
    with opened.database.writing() as session:
        parted = revoke_site(session, log, site, reason, actor=actor, now=now(), left=left)
    opened.close()
    typer.echo(f"Site {site} is revoked: from its next call on it is refused.")
    if parted is None:
        return
    typer.echo(
        f"Its departure is on the ledger. That has to be cosigned by {parted.due_before} of those who were members "
        f"before; what follows it by {parted.due} of the {parted.left} who stay."
    )
    if parted.stands_still:
        typer.echo(
            f"With {parted.left} left that can't come: nothing newer is settled any more, so no data is used. Found "
            "another federation with those who stay; this ledger stays as the record.",
            err=True,
        )


@app.command()
def sites(home: Path = HOME, as_json: bool = typer.Option(False, "--json", help="As JSON, for programs.")) -> None:
    """List the sites, and when each was last heard."""
    from wardround.hub.home import HubHome
    from wardround.hub.sites.queries import sites as all_sites

    opened = HubHome(home)
    with opened.database.reading() as session:
        lines = all_sites(session)
    opened.close()
    if as_json:
        import json

        rows = [
            {
                "site": line.name,
                "state": line.state,
                "certificate_until": line.certificate_until.isoformat() if line.certificate_until else None,
                "last_heard": line.heard_at.isoformat() if line.heard_at else None,
                "version": line.version,
            }
            for line in lines
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    if not lines:
        typer.echo(f"No sites yet. Invite one: wardround hub invite SITE --home {home}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("site", "state", "certificate until (UTC)", "last heard (UTC)", "version")
    for line in lines:
        until = f"{line.certificate_until:%Y-%m-%d %H:%M}" if line.certificate_until else ""
        heard = f"{line.heard_at:%Y-%m-%d %H:%M:%S}" if line.heard_at else "never"
        state = f"{line.state}: {line.reason}" if line.reason else line.state
        table.add_row(line.name, state, until, heard, line.version or "")
    Console().print(table)


app.add_typer(people.app_of("hub"), name="people")
signin.add_to(app, "hub")
