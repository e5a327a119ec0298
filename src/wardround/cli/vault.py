"""`wardround node relink` and `wardround node erase`: the two reasons to open the vault."""

from __future__ import annotations

from pathlib import Path

import typer

from wardround.cli.signin import acting

HOME = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_NODE_HOME")
REASON = typer.Option(..., "--reason", help="Why, in your own words; it stays in the audit with your account's name.")


def relink(
    pseudonym: str = typer.Argument(..., help="A pseudonym or UID, as this site or one of its projects wrote it."),
    reason: str = REASON,
    code: str = typer.Option(
        "not-told", "--code", help="Why, as a code that the ledger shows, as in `incidental-finding`."
    ),
    home: Path = HOME,
) -> None:
    """Open the vault for one pseudonym and show who it is. Each opening is in the audit, before it happens.

    The ledger gets that somebody was looked up here, with the code; not who, nor by whom.
    """
    from wardround.cli.decide import reason_code
    from wardround.foundation.clock import now
    from wardround.node.deidentify.department import Department
    from wardround.node.deidentify.relink import reidentify, site_pseudonym
    from wardround.node.home import NodeHome
    from wardround.node.record.wiring import entries_at

    _check(reason)
    code = reason_code(code, called="code")
    actor = acting(home, "relink-person")
    opened = NodeHome(home)
    department = Department(opened)
    own = site_pseudonym(department.vault, department.pseudonyms, pseudonym, department.projects())
    who = reidentify(department.vault, entries_at(opened), own, actor=actor, reason=reason, code=code, at=now())
    department.close()
    opened.close()
    typer.echo(f"Pseudonym:   {own}")
    typer.echo(f"Patient ID:  {who.patient_id}" + (f" ({who.issuer})" if who.issuer else ""))
    for text, issuer in who.other_ids:
        typer.echo(f"Other ID:    {text}" + (f" ({issuer})" if issuer else ""))
    typer.echo(f"Name:        {who.name}")
    typer.echo(f"Birth date:  {who.birth_date}")
    for new, original in sorted(who.studies.items()):
        accession = who.accession_numbers.get(new, "")
        typer.echo(f"Study:       {original}" + (f", accession {accession}" if accession else "") + f"; here {new}")


def erase(
    patient_id: str = typer.Option("", "--patient-id", help="The patient's id or NHS number; `-` asks for it."),
    issuer: str = typer.Option("", "--issuer", help="Who issued the id; without it, whoever did."),
    pseudonym: str = typer.Option("", "--pseudonym", help="Instead of the id: a pseudonym, as for `relink`."),
    reason: str = REASON,
    research_only: bool = typer.Option(False, "--research-only", help="Leave the clinical path as it is."),
    yes: bool = typer.Option(False, "--yes", help="Do it. Without this the command only says what it would do."),
    home: Path = HOME,
) -> None:
    """Take one person out of this node for good: enclave, frozen cohorts, vault, quarantine and clinical copies.

    An erasure that a crash cut off is finished by the next one, and when the node is started.
    """
    from wardround.node.deidentify.department import Department
    from wardround.node.deidentify.relink import site_pseudonym
    from wardround.node.home import NodeHome

    _check(reason)
    if bool(patient_id) == bool(pseudonym):
        raise typer.BadParameter("name one person, by --patient-id or by --pseudonym")
    if patient_id == "-":
        patient_id = typer.prompt("Patient ID or NHS number", hide_input=True)
    actor = acting(home, "erase-person")
    opened = NodeHome(home)
    department = Department(opened)
    erasures = department.erasures()
    for number in erasures.finish():
        typer.echo(f"Finished erasure {number}, which had been cut off.")
    own = (
        [site_pseudonym(department.vault, department.pseudonyms, pseudonym, department.projects())] if pseudonym else []
    )
    found = erasures.find(
        own, patient_id=patient_id, issuer=issuer, actor=actor, reason=reason, research_only=research_only
    )
    typer.echo("This person has here:")
    for kind, count in sorted(found.counts.items()):
        typer.echo(f"  {count:>8} {kind}")
    if found.nothing:
        typer.echo("Nothing to erase.")
    elif len(found.person.pseudonyms) > 1:
        typer.echo("Pseudonyms: " + ", ".join(found.person.pseudonyms))
    if not found.nothing and not yes:
        typer.echo("Nothing was erased. To erase it for good, give the same command with --yes.")
    elif not found.nothing:
        number = erasures.order(found, actor=actor, reason=reason)
        erasures.finish()
        typer.echo(f"Erasure {number} is done, and in the audit. Ledgers keep commitments alone, without their salts.")
        typer.echo("What the PACS sends again is taken in again: `wardround node optout add` keeps it off research.")
    department.close()
    opened.close()


def _check(reason: str) -> None:
    if not reason.strip():
        raise typer.BadParameter("say why; the reason goes into the audit")
