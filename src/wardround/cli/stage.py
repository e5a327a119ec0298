"""`wardround node model`: how far each model has come here, on which evidence, and who agreed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli import validation

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from wardround.node.clinic.tables import Deployment

app = typer.Typer(
    help="Models in use here: their stage, their evidence, the next stage.", no_args_is_help=True, rich_markup_mode=None
)
HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
_OF_VALIDATION = (
    validation.plan,
    validation.allow,
    validation.validate,
    validation.share,
    validation.plans,
    validation.gallery,
)
for command in _OF_VALIDATION:
    app.command()(command)
MODEL = typer.Argument(..., metavar="MODEL|PATHWAY", help="A model's digest (8 digits will do), or a pathway's name.")


@app.command()
def status(home: Path = HOME) -> None:
    """Show each model in use here: its stage, what that shows and to whom, its evidence, what the next stage lacks.

    A model is watched by charts: one that reaches its limit takes the model out of use by itself.
    """
    from wardround.contracts.stage import STAGES, next_stage
    from wardround.node.clinic.deployment import active
    from wardround.node.desk import Desk
    from wardround.node.evidence.promotion import standing
    from wardround.node.evidence.shelf import records
    from wardround.node.evidence.words import told
    from wardround.node.home import NodeHome
    from wardround.node.monitoring.monitor import charts_of

    desk = Desk(NodeHome(home))
    with desk.home.database.reading() as session:
        rows = active(session)
        for row in rows:
            stage, model = STAGES[row.stage], desk.deployments.model(row)
            typer.echo(f"{row.model[:12]} on {row.pathway}: {row.stage}, since {row.deployed_at:%Y-%m-%d}")
            typer.echo(f"  shows {stage.shows}, to {stage.to}; never {stage.never}")
            if row.ready_at is None:
                typer.echo("  isn't loaded yet: the running node makes it ready, and studies wait for that")
            for kept in records(session, model.digests):
                typer.echo(f"  {kept.in_words()}")
                for line in told(kept.record):
                    typer.echo(f"    {line}")
            for chart in charts_of(session, row, desk.home.settings.clinic):
                typer.echo(
                    f"  watched: {chart.reason}, {chart.value:.1f} of {chart.limit:.1f} over {chart.studies} studies"
                )
            above = next_stage(row.stage)
            if above is None:
                typer.echo("  no stage is above this one")
                continue
            found = standing(session, row, model, above, desk.clock())
            typer.echo(f"  next: {above}, which shows {STAGES[above].shows}")
            for one in found.missing:
                typer.echo(f"    lacks: {one.words}")
            for who in found.agreed:
                typer.echo(f"    agreed: {who.actor} ({', '.join(sorted(who.roles))})")
    desk.close()
    if not rows:
        typer.echo(f"No model is in use here. Take one into shadow use: wardround node deploy MODEL --home {home}")


@app.command()
def evidence(
    model: str = MODEL,
    truth: Path | None = typer.Option(
        None, "--truth", help="What was adjudicated: a CSV file of study (a worklist key) and finding (0 or 1)."
    ),
    readings: Path | None = typer.Option(
        None, "--readings", help="A reader study instead: a CSV file of reader, case, aided, rating and finding."
    ),
    margin: float = typer.Option(0.05, "--margin", min=0, max=0.2, help="By how much readers may be worse with it."),
    home: Path = HOME,
) -> None:
    """Make the evidence of a model's use here, as its stage gives it, or keep a reader study.

    In shadow use: volume, failures, latency, agreement, and that nobody saw a result. Where it orders the worklist:
    what that did to flagged and unflagged studies. As second reader: first and final readings.
    """
    from wardround.cli.signin import acting
    from wardround.contracts.evidence import EvidenceRecord
    from wardround.node.desk import Desk
    from wardround.node.evidence.making import keep_reader_study, make
    from wardround.node.evidence.second_reads import adjudicated_in, reader_study_of
    from wardround.node.evidence.shelf import fewest_of, seen_by
    from wardround.node.evidence.words import told
    from wardround.node.home import NodeHome

    if truth is not None and readings is not None:
        raise typer.BadParameter("a reader study says itself what is so; leave out one of --truth and --readings")
    actor = acting(home, "make-evidence")
    adjudicated = {} if truth is None else adjudicated_in(truth)
    desk = Desk(NodeHome(home))
    records: tuple[EvidenceRecord, ...]
    try:
        with desk.home.database.writing() as session:
            at, row = desk.clock(), _in_use(session, model)
            if readings is None:
                known = desk.deployments.model(row)
                records = make(session, row, known, desk.entries, adjudicated=adjudicated, actor=actor, at=at)
            else:
                study = reader_study_of(readings, row.model, row.pathway, margin=margin)
                keep_reader_study(session, row, study, desk.entries, actor=actor, at=at)
                records = (study,)
    finally:
        desk.close()
    for record in records:
        typer.echo(f"Kept evidence of {record.model[:12]} on {record.pathway}: {record.kind}")
        for line in told(record):
            typer.echo(f"  {line}")
        if seen_by(record) < fewest_of(record):
            typer.echo(f"  It opens no stage: that takes {fewest_of(record)}.")
    typer.echo(f"The running node tells the ledger. Next: wardround node model status --home {home}")


@app.command()
def card(
    model: str = typer.Argument(..., help="A registered model's digest, all 64 digits."),
    edit: Path | None = typer.Option(None, "--edit", help="A TOML file of what people write; a new edition of it."),
    home: Path = HOME,
) -> None:
    """Show a model's card as this hospital has it, with its own hazard log; what is written here stays here."""
    from wardround.cli.signin import acting
    from wardround.contracts.model_card import CardText
    from wardround.foundation.settings import read_settings
    from wardround.node.desk import Desk
    from wardround.node.evidence.card import card_of, write
    from wardround.node.home import NodeHome

    text = None if edit is None else read_settings(edit, CardText)
    actor = None if text is None else acting(home, "edit-card")
    desk = Desk(NodeHome(home))
    try:
        desk.deployments.fetch(model)
        if text is not None and actor is not None:
            with desk.home.database.writing() as session:
                write(session, model, text, actor=actor, at=desk.clock())
        with desk.home.database.reading() as session:
            shown = card_of(session, desk.deployments.evidenced(model, ""), desk.mirror.state().verified)
    finally:
        desk.close()
    typer.echo(shown.rstrip())


@app.command()
def promote(
    model: str = MODEL,
    to: str = typer.Option(..., "--to", help="The next stage, from `wardround node model status`."),
    home: Path = HOME,
) -> None:
    """Agree that a model goes to the next stage, on the evidence that `status` shows.

    It goes there once a person of each role that the stage asks has agreed: another person for each.
    """
    from wardround.cli.signin import acting_in_roles
    from wardround.contracts.stage import LADDER
    from wardround.node.desk import Desk
    from wardround.node.evidence.ladder import Approver
    from wardround.node.evidence.promotion import agree
    from wardround.node.home import NodeHome

    stage = next((rung for rung in LADDER if rung == to), None)
    if stage is None:
        raise typer.BadParameter(f"there is no stage {to}; the stages are {', '.join(LADDER)}")
    actor, roles = acting_in_roles(home, "promote-model")
    desk = Desk(NodeHome(home))
    try:
        with desk.home.database.writing() as session:
            row = _in_use(session, model)
            person = Approver(actor, roles)
            found = agree(session, row, desk.deployments.model(row), stage, person, desk.entries, at=desk.clock())
            reached, name, pathway = row.stage == stage, row.model[:12], row.pathway
    finally:
        desk.close()
    if reached:
        typer.echo(f"Model {name} is at {stage} on {pathway}. The running node tells the ledger.")
        return
    typer.echo(f"Your agreement to {stage} for model {name} on {pathway} is on record. It isn't open yet:")
    for one in found.missing:
        typer.echo(f"  lacks: {one.words}")


def _in_use(session: Session, target: str) -> Deployment:
    from wardround.node.clinic.suspension import in_use

    [row, *others] = in_use(session, target)
    if others:
        raise typer.BadParameter(f"{target} is in use on several pathways; name the pathway")
    return row
