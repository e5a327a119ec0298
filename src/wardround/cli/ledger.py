"""`wardround ledger`: check the ledger and prove from it, from this machine's own disk, with nobody's help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wardround.cli.signin import acting

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from wardround.ledger.keys import LedgerKeys
    from wardround.ledger.note import Verifier
    from wardround.node.desk import Desk

app = typer.Typer(
    help="The ledger: verify, show, prove, proof-check, keys; status, trust, distrust; checkpoint, compare.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

HOME = typer.Option(..., "--home", help="A hub's or a node's home.", envvar="WARDROUND_HOME")
NODE = typer.Option(..., "--home", help="The node's home.", envvar="WARDROUND_HOME")


@app.command()
def verify(home: Path = HOME, as_json: bool = typer.Option(False, "--json", help="As JSON, for programs.")) -> None:
    """Check every entry, signature, checkpoint and cosignature, offline. Exit status 1 if anything doesn't hold."""
    import json
    from dataclasses import asdict

    from wardround.cli.home import ledger_at
    from wardround.ledger.verification import verify as verify_ledger

    with ledger_at(home) as (session, hub):
        found = verify_ledger(session, hub)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        typer.echo(
            f"{found.entries} entries, root {found.root}\n"
            f"newest checkpoint: size {found.size}, cosigned by {', '.join(found.cosigned_by) or 'nobody yet'} "
            f"({'a quorum' if found.quorum_met else 'not yet a quorum'} of the {len(found.members)} members)"
        )
        for problem in found.problems:
            typer.echo(f"  at {problem.index}: {problem.message} [{problem.reason}]. {problem.mend}")
        if found.problems:
            typer.echo("NOT everything holds.")
        elif found.settled < found.entries:
            typer.echo(f"Everything holds; settled up to size {found.settled}, newer entries wait for cosignatures.")
        else:
            typer.echo("Everything holds.")
    if found.problems:
        raise typer.Exit(1)


@app.command()
def show(
    home: Path = HOME,
    start: int = typer.Option(0, "--start", min=0, help="Index of the first entry."),
    limit: int = typer.Option(50, "--limit", min=1, help="How many entries."),
) -> None:
    """Show entries in their order."""
    from wardround.cli.home import ledger_at
    from wardround.contracts.ledger_entry import read_signed_entry
    from wardround.ledger import store

    with ledger_at(home) as (session, _hub):
        lines = store.entries(session, start, limit)
    for index, data in enumerate(lines, start):
        entry = read_signed_entry(data).entry
        told = entry.model_dump(mode="json", exclude={"origin", "at", "nonce", "kind", "seen"})
        words = ", ".join(f"{key} {_short(value)}" for key, value in told.items() if value is not None)
        typer.echo(f"{index:>5}  {entry.at:%Y-%m-%d %H:%M:%S}Z  {entry.origin:<12} {entry.kind:<17} {words}")


def _short(value: object) -> str:
    text = _plain(value)
    return text if len(text) <= 40 else f"{text[:24]}…"


def _plain(value: object) -> str:
    """A value of an entry as people read it: a number of people as it may be told, the rest as it stands."""
    from wardround.contracts.disclosure import Count

    if not isinstance(value, dict):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    if value.keys() == {"about"}:
        return Count.model_validate(value).in_words()
    return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items() if inner not in (None, False, [], {}))


@app.command()
def keys(home: Path = HOME) -> None:
    """Print the public keys that a third party needs to check a proof: to be handed over apart from any proof."""
    typer.echo(_keys_of(home), nl=False)


@app.command()
def prove(
    entry: int | None = typer.Argument(None, min=0, help="Index of the entry to prove."),
    study: str = typer.Option("", "--study", help="Instead: a Study Instance UID, the PACS's own or the enclave's."),
    project: str = typer.Option("", "--project", help="Only what one project did with the study."),
    out: Path | None = typer.Option(None, "--out", help="The file to write; else a name of its own, here."),
    home: Path = HOME,
) -> None:
    """Write a proof that an entry is on the ledger, or of what was done with a study (at a node).

    A study that no frozen cohort on the ledger holds gives no file and exit status 1.
    """
    from wardround.cli.home import ledger_at
    from wardround.foundation.errors import NotFound
    from wardround.foundation.files import write_whole
    from wardround.ledger.proving import prove_entry

    if (entry is None) == (not study):
        raise NotFound("name one thing to prove: the index of an entry, or --study with a Study Instance UID")
    if entry is not None:
        with ledger_at(home) as (session, hub):
            text = prove_entry(session, hub, entry)
        target = out or Path(f"entry-{entry}.tlog-proof")
        write_whole(target, text.encode())
        typer.echo(
            f"{target}: entry {entry} is on the ledger. Check it with "
            f"`wardround ledger proof-check {target} --keys KEYS`."
        )
        return
    from wardround.node.record.studies import study_answer

    names = _names_of(home, study)
    with ledger_at(home) as (session, hub):
        answer = study_answer(session, hub, names, project=project or None)
    for waiting in answer.waiting:
        typer.echo(f"The cohort of {waiting} has the study; its manifest waits for a quorum. Try again later.")
    if answer.proof is None:
        if not answer.waiting:
            typer.echo("No: no frozen cohort on the ledger whose salts are here holds that study.")
        raise typer.Exit(1)
    target = out or Path("study.study-proof")
    write_whole(target, (answer.proof.model_dump_json(indent=1) + "\n").encode())
    typer.echo(f"Yes. {target} proves what was done with the study:")
    _check_study(answer.proof.model_dump_json(), _keys_of(home))
    typer.echo(
        "Whoever gets the file learns that this study was in these cohorts, and nothing about any other study. "
        f"They check it with `wardround ledger proof-check {target} --keys KEYS`."
    )


def _names_of(home: Path, study: str) -> list[str]:
    """The study's name as given and, at a node that has its pseudonym secret, as the enclave would call it."""
    from wardround.foundation.errors import NotFound
    from wardround.node.deidentify.department import Department
    from wardround.node.home import NodeHome

    if not (home / "node.toml").is_file():
        raise NotFound("only a hospital's node has the salts by which a study is found; name its home with --home")
    node = NodeHome(home)
    try:
        if not (node.identity / "pseudonyms.key").is_file():
            return [study]
        return [study, Department(node).pseudonyms.uid(study)]
    finally:
        node.close()


@app.command("proof-check")
def proof_check(
    file: Path = typer.Argument(..., help="A .tlog-proof or .study-proof file."),
    keys: Path | None = typer.Option(None, "--keys", help="The public keys, as `wardround ledger keys` prints them."),
    home: Path | None = typer.Option(None, "--home", help="Instead of --keys: a home that knows them."),
) -> None:
    """Say what a proof file proves and what it doesn't. Exit status 1 if it proves nothing."""
    from wardround.foundation.errors import NotFound
    from wardround.ledger.keys import LedgerKeys

    if (keys is None) == (home is None):
        raise NotFound("name the public keys with --keys FILE (`wardround ledger keys` prints them), or a --home")
    if not file.is_file() or (keys is not None and not keys.is_file()):
        raise NotFound(f"there is no file {keys if file.is_file() else file}")
    trusted = _keys_of(home) if keys is None and home is not None else LedgerKeys.parse(_text(keys or Path()))
    text = _text(file)
    if text.startswith("c2sp.org/tlog-proof"):
        _check_entry(text, trusted)
    else:
        _check_study(text, trusted)
        typer.echo(
            "Not proven: that nothing else was done with the study (only a full copy of the ledger shows what else is "
            "on record, and nothing shows what was never recorded); that every study of a cohort was read in every "
            "round; whose study it is, which the hospital alone knows; that the clocks of those who signed were right."
        )


def _text(file: Path) -> str:
    from wardround.foundation.errors import NotFound
    from wardround.ledger.study_proof import LARGEST_FILE

    if file.stat().st_size > LARGEST_FILE:
        raise NotFound(f"{file.name} is larger than any proof; {LARGEST_FILE} bytes is the limit")
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise NotFound(f"{file.name} isn't text; a proof and a file of keys are") from None


def _check_entry(text: str, trusted: LedgerKeys) -> None:
    from wardround.contracts.ledger_entry import read_signed_entry
    from wardround.ledger.tlog_proof import check_tlog_proof

    proven = check_tlog_proof(text, trusted.hub, trusted.witnesses)
    if not trusted.is_quorum(proven.cosigned_by):
        typer.echo(
            f"NOT proven: {len(proven.cosigned_by)} of {len(trusted.witnesses)} witnesses cosigned this ledger; "
            f"{trusted.quorum} have to."
        )
        raise typer.Exit(1)
    entry = read_signed_entry(proven.data).entry
    typer.echo(
        f"Proven: entry {proven.index} of {trusted.hub.name} is a {entry.kind} by {entry.origin} of "
        f"{entry.at:%Y-%m-%d %H:%M:%S}Z, in the tree of {proven.checkpoint.size} entries that "
        f"{', '.join(sorted(proven.cosigned_by))} cosigned ({trusted.quorum} have to)."
    )
    for key, value in entry.model_dump(mode="json", exclude={"origin", "at", "kind", "nonce"}).items():
        if value is not None:
            typer.echo(f"  {key}: {_plain(value)}")
    typer.echo(
        "Not proven: that what the entry says is so (its origin says it; the hub and the witnesses checked its "
        "signature when they took it), and that no later entry takes it back."
    )


def _check_study(text: str, trusted: LedgerKeys) -> None:
    from wardround.cli.ledger_words import words_of
    from wardround.ledger.study_proof import check_study_proof, read_study_proof

    for line in words_of(check_study_proof(read_study_proof(text), trusted), trusted):
        typer.echo(line)


def _keys_of(home: Path) -> LedgerKeys:
    from wardround.cli.home import ledger_at
    from wardround.ledger import store
    from wardround.ledger.keys import keys_at

    with ledger_at(home) as (session, hub):
        size = store.size(session)
        return keys_at(session, hub, store.settled(session, hub, size) or size)


@app.command()
def status(home: Path = NODE) -> None:
    """Say whether this node trusts its hub's ledger, and why not. Exit status 1 if it doesn't."""
    from wardround.foundation.clock import now
    from wardround.ledger.trust import MENDS, LedgerUntrusted

    desk = _desk(home)
    try:
        state, settled = desk.mirror.state(), desk.mirror.settled()
        typer.echo(f"{state.received} entries here, {state.verified} checked, {settled} settled by a quorum.")
        with desk.home.database.reading() as session:
            typer.echo(_witnesses(session, desk.hub, settled or state.verified))
            waiting, refused = desk.entries.standing(session)
        if waiting:
            typer.echo(f"Entries of this site that wait for the hub: {waiting}; the running node submits them.")
        for code, number in sorted(refused.items()):
            typer.echo(f"Entries of this site that the hub won't take: {number} [{code}]; ask its operator why.")
        try:
            desk.mirror.check_trusted(now())
        except LedgerUntrusted as refusal:
            typer.echo(
                f"NOT trusted: {refusal} [{refusal.reason}]\nNo data is used. What to do: {MENDS[refusal.reason]}."
            )
            raise typer.Exit(1) from None
        typer.echo("Trusted.")
    finally:
        desk.close()


def _witnesses(session: Session, hub: Verifier, size: int) -> str:
    """Who makes a quorum at that size, in words."""
    from wardround.ledger import store

    members = store.members(session, hub, size)
    if not len(members):
        return "Nobody witnesses it yet."
    borne = f", {members.faults} of whom may be dishonest" if members.faults else ""
    need = f"{members.fewest} have to cosign" if members.fewest <= len(members) else "too few for a quorum"
    return f"Witnesses: {', '.join(sorted(members))}{borne}; {need}."


@app.command()
def distrust(
    reason: str = typer.Argument(..., help="Why, in a line; it stays on this node."), home: Path = NODE
) -> None:
    """Stop all use of data here that rests on the ledger, until `trust`; over restarts of the node."""
    from wardround.node.record.actions import distrust as act

    actor = acting(home, "trust-ledger")
    desk = _desk(home)
    try:
        act(desk.home.database, desk.mirror, reason, actor=actor)
    finally:
        desk.close()
    typer.echo("The ledger isn't trusted any more: no data is used here until `wardround ledger trust`.")


@app.command()
def trust(
    reason: str = typer.Argument(..., help="What was found, in a line; it stays on this node."), home: Path = NODE
) -> None:
    """Follow the hub's ledger again after a person has looked, from what this node had checked."""
    from wardround.node.record.actions import trust as act

    actor = acting(home, "trust-ledger")
    desk = _desk(home)
    try:
        was = act(desk.home.database, desk.mirror, reason, actor=actor)
    finally:
        desk.close()
    typer.echo(
        "The ledger was trusted already."
        if was is None
        else f"This node follows the ledger again (it had stopped: {was}). "
        "A hub that doesn't return to what this node had checked stops it again."
    )


@app.command()
def checkpoint(home: Path = HOME) -> None:
    """Print the newest checkpoint that is known here with its cosignatures, for `compare` at another site."""
    from wardround.cli.home import ledger_at
    from wardround.foundation.errors import NotFound
    from wardround.ledger import store

    with ledger_at(home) as (session, hub):
        newest = store.newest_checkpoint(session)
        note = None if newest is None else store.cosigned_note(session, hub, newest)
    if note is None:
        raise NotFound("there is no checkpoint here yet")
    typer.echo(note, nl=False)


@app.command()
def compare(file: Path = typer.Argument(..., help="Another site's checkpoint."), home: Path = NODE) -> None:
    """Compare another site's checkpoint with this node's ledger, offline. Exit status 1 if the hub shows two.

    Then this node has stopped; keep the file.
    """
    from wardround.foundation.clock import now
    from wardround.foundation.errors import NotFound
    from wardround.ledger.checkpoint import open_checkpoint
    from wardround.ledger.trust import LedgerForked

    if not file.is_file():
        raise NotFound(f"there is no file {file}")
    desk = _desk(home)
    try:
        note = _text(file)
        size = open_checkpoint(note, desk.hub).size
        try:
            desk.mirror.observe(note, now())
        except LedgerForked as fork:
            typer.echo(f"NOT the same ledger: {fork} [{fork.code}]. No data is used here any more.")
            raise typer.Exit(1) from None
        known = desk.mirror.state().verified
        if size <= known:
            typer.echo(f"The same ledger, up to size {size}.")
        else:
            typer.echo(f"It has {size} entries, this node {known}: kept, and compared as soon as those are here.")
    finally:
        desk.close()


def _desk(home: Path) -> Desk:
    from wardround.node.desk import Desk
    from wardround.node.home import NodeHome

    return Desk(NodeHome(home))
