"""`wardround node`: what a hospital's informatics engineer does."""

from __future__ import annotations

from pathlib import Path

import typer

from wardround.cli import (
    annotate,
    decide,
    dicomweb,
    imports,
    intake,
    node_cohort,
    optout,
    people,
    policy,
    records,
    signin,
    stage,
    suspension,
    vault,
    worklist,
)
from wardround.cli.pull import pull
from wardround.cli.signin import acting

app = typer.Typer(
    help="One hospital's program: join, serve, see what left.", no_args_is_help=True, rich_markup_mode=None
)

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")


@app.command()
def join(
    token: str = typer.Argument(..., help="The token from the federation's operator."),
    home: Path = HOME,
    dicom_host: str = typer.Option("127.0.0.1", "--dicom-host", help="Address that the PACS sends to."),
    dicom_port: int = typer.Option(11112, "--dicom-port", help="Port that the PACS sends to."),
    ae_title: str = typer.Option("WARDROUND", "--ae-title", help="This node's application entity title."),
    clinic_ae_title: str = typer.Option("WARDCLINIC", "--clinic-ae-title", help="The title of the clinical path."),
    quiet_seconds: float = typer.Option(60, "--quiet-seconds", help="A study is complete when this long nothing came."),
    pacs: str = typer.Option("", "--pacs", help="Where results go, as HOST:PORT:AE_TITLE."),
    examiners_title: str = typer.Option(
        "", "--examiners-title", help="A title of that PACS for results of models in shadow use; else they stay here."
    ),
    database: str = typer.Option("", "--database", help="SQLAlchemy URL; SQLite in the home if not given."),
) -> None:
    """Join a federation: make this node's keys here and have the hub sign its certificate."""
    from pydantic import ValidationError

    from wardround.foundation.audit import operator
    from wardround.foundation.token import Token
    from wardround.node.membership.actions import join as join_federation
    from wardround.node.settings import DicomSettings, PacsSettings

    results: PacsSettings | None = None
    try:
        dicom = DicomSettings(
            host=dicom_host,
            port=dicom_port,
            ae_title=ae_title,
            clinic_ae_title=clinic_ae_title,
            quiet_seconds=quiet_seconds,
        )
        if pacs:
            host, _, rest = pacs.partition(":")
            port, _, title = rest.partition(":")
            titles = {"ae_title": title, "examiners_title": examiners_title}
            results = PacsSettings.model_validate({"host": host, "port": port, **titles})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise typer.BadParameter(f"{fault['loc'][0]}: {fault['msg']}") from None
    # A first joining makes the home, before which there is nobody; a later one goes on with its people.
    actor = acting(home, "join-federation") if (home / "node.toml").is_file() else operator()
    joined = join_federation(Token.parse(token), home, actor=actor, dicom=dicom, pacs=results, database=database)
    typer.echo(
        f"Joined federation {joined.federation!r} as site {joined.site!r}. Settings are in {joined.settings_file},\n"
        f"what this hospital allows is in policy.toml beside it. Next: wardround node serve --home {home}"
    )


@app.command()
def serve(
    home: Path = HOME,
    ready_file: Path | None = typer.Option(None, "--ready-file", help="Written once all parts have started."),
) -> None:
    """Serve until Ctrl-C or SIGTERM. A hub that doesn't answer is tried again, patiently."""
    from wardround.foundation.files import write_whole
    from wardround.foundation.logs import log_to
    from wardround.node.app import build
    from wardround.node.home import NodeHome
    from wardround.node.serving import run

    opened = NodeHome(home)
    log_to(opened.log, "node")

    def ready() -> None:
        typer.echo(f"Serving site {opened.site!r} of federation {opened.federation!r}. Ctrl-C stops.")
        if ready_file is not None:
            write_whole(ready_file, b"ready\n", mode=0o644)

    run(build(opened), ready)


@app.command()
def egress(
    home: Path = HOME,
    last: int = typer.Option(20, "--last", help="How many of the newest messages to list.", min=0),
    as_json: bool = typer.Option(False, "--json", help="As JSON, for programs."),
) -> None:
    """Show what left this node: totals by kind, and the newest messages."""
    from wardround.node.gateway.egress import bytes_out, newest, totals
    from wardround.node.home import NodeHome

    opened = NodeHome(home)
    with opened.database.reading() as session:
        by_kind, rows, everything = totals(session), newest(session, last), bytes_out(session)
    opened.close()
    if as_json:
        import json

        document = {
            "bytes_out": everything,
            "totals": {
                line.kind: {"messages": line.messages, "bytes": line.size, "not_sent": line.not_sent}
                for line in by_kind
            },
            "newest": [
                {
                    "at": row.at.isoformat(),
                    "kind": row.kind,
                    "project": row.project,
                    "run": row.run,
                    "bytes": row.size,
                    "sha256": row.digest,
                    "outcome": row.outcome,
                    "reason": row.reason,
                }
                for row in rows
            ],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        "kind", "messages", "bytes", "not sent", "last (UTC)", title="What left this node", title_justify="left"
    )
    for line in by_kind:
        moment = f"{line.last:%Y-%m-%d %H:%M:%S}"
        table.add_row(line.kind, f"{line.messages}", f"{line.size:,}", f"{line.not_sent}", moment)
    table.add_section()
    table.add_row("all", f"{sum(line.messages for line in by_kind)}", f"{everything:,}", "", "")
    console.print(table)
    if not by_kind:
        console.print("Nothing has left yet.")
    if any(line.kind == "run-update" for line in by_kind):
        console.print(
            "An update travels within the engine's traffic; its bytes are in the total once.", highlight=False
        )
    if rows:
        table = Table("at (UTC)", "kind", "project", "bytes", "outcome", "SHA-256 of the body")
        table.columns[1].no_wrap = True  # the word by which the policy and the reference call it
        for row in rows:
            outcome = f"{row.outcome} ({row.reason})" if row.reason else row.outcome
            moment = f"{row.at:%Y-%m-%d %H:%M:%S}"
            table.add_row(moment, row.kind, row.project or "", f"{row.size:,}", outcome, (row.digest or "")[:16])
        console.print(table)


for command in (
    decide.projects,
    decide.show,
    decide.approve,
    decide.refuse,
    decide.withdraw,
    intake.intake,
    decide.deploy,
    suspension.suspend,
    pull,
):
    app.command()(command)
app.command("import")(imports.import_)
app.command()(vault.relink)
app.command()(vault.erase)
app.add_typer(optout.app, name="optout")
app.add_typer(dicomweb.app, name="dicomweb")
app.add_typer(annotate.app, name="annotate")
app.add_typer(node_cohort.app, name="cohort")
app.add_typer(records.app, name="records")
app.add_typer(people.app_of("node"), name="people")
app.add_typer(stage.app, name="model")
app.add_typer(worklist.app, name="worklist")
app.add_typer(policy.app, name="policy")
signin.add_to(app, "node")
