"""An auditor with two files, and a person at a node: what the commands of the ledger say, over real homes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.command_line import CommandLine
from tests.federation_lab import HubLab
from tests.unit.hub.runs.run_lab import project

from wardround.contracts.ledger_entry import HUB, Aggregate, Evidence, Model, Update, Withdrawal
from wardround.foundation.clock import now
from wardround.ledger.log import Log
from wardround.node.deidentify.department import Department
from wardround.node.desk import Desk
from wardround.node.enclave.purge import _forget_in_manifests
from wardround.node.projects import actions, queries
from wardround.node.record.witness import Witness
from wardround.node.training.uses import Uses

ORIGINAL = "1.2.826.0.1.3680043.8.498.1"
DIGEST = "d" * 64
Command = Callable[..., str]


@pytest.fixture
def wardround(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    ran = CommandLine(monkeypatch, capsys)
    return lambda *arguments, code=0: "".join(ran(*arguments, code=code))


class Federation:
    """Two hospitals; the first approved a project, learned from three studies in two rounds, and the hub made a
    model of it."""

    def __init__(self, folder: Path) -> None:
        self.lab = HubLab(folder)
        self.lab.start()
        self.desks = [Desk(self.lab.node(site)) for site in ("north", "south")]
        self.log = Log(self.lab.home.ledger_origin, self.lab.home.ledger_key)
        home = self.desks[0].home
        self.studies = [Department(home).pseudonyms.uid(f"{ORIGINAL}.{number}") for number in range(3)]
        self.settle()
        self.approve("glioma")
        self.uses = Uses(home.database, self.desks[0].entries, now)
        self.uses.preparation("glioma-1", self.manifest)
        updates = [self.update(number) for number in (1, 2)]
        with self.lab.home.database.writing() as tx:
            for number, index in enumerate(updates, 1):
                made = Aggregate(origin=HUB, at=now(), run="glioma-1", round=number, digest=DIGEST, updates=(index,))
                self.log.record(tx, made)
            self.log.record(tx, Model(origin=HUB, at=now(), digest=DIGEST, run="glioma-1", best_round=2, metrics={}))
            # Of another run, which never saw north's studies.
            self.log.record(tx, Model(origin=HUB, at=now(), digest="e" * 64, run="other-1", best_round=2, metrics={}))
        use = self.uses.judging("glioma-1", DIGEST, self.manifest)
        judged = {"model": DIGEST, "pathway": "brain", "stage": "offline", "record": "c" * 64, "use": use}
        self.desks[0].entries.put(Evidence(origin="north", at=now(), **judged))
        self.settle()

    def approve(self, name: str) -> None:
        desk = self.desks[0]
        with desk.home.database.writing() as session:
            actions.consider(session, project(name), at=now())
            cases = [actions.FrozenCase(f"WR-{study[-4:]}", study, study) for study in self.studies]
            digest = queries.row_of(session, name).digest
            actions.approve(session, name, digest, cases, desk.entries, actor="person:controller", at=now())
        with desk.home.database.reading() as session:
            made = queries.decision_of(session, queries.row_of(session, name))
        assert made is not None
        index = desk.entries.submit(made.entry)
        with desk.home.database.writing() as session:
            made = session.merge(made)
            made.entry_index = index
            signed = actions.sign_manifest(session, made, desk.entries, desk.discloser, at=now())
        index = desk.entries.submit(signed)
        with desk.home.database.writing() as session:
            session.merge(made).manifest_index = index
        self.manifest = index

    def update(self, number: int) -> int:
        use = self.uses.training("glioma-1", number, self.manifest)
        about = {"run": "glioma-1", "round": number, "manifest": self.manifest, "use": use}
        return self.desks[0].entries.put(Update(origin="north", at=now(), digest=DIGEST, steps=9, **about))

    def settle(self) -> None:
        for _ in range(2):
            for desk in self.desks:
                with self.lab.home.database.writing() as tx:
                    self.log.checkpoint(tx, now())
                Witness(desk.mirror, desk.hub, desk.gateway, desk.clock).catch_up()

    @property
    def node(self) -> Path:
        return self.desks[0].home.path

    @property
    def hub(self) -> Path:
        return self.lab.home.path

    def close(self) -> None:
        for desk in self.desks:
            desk.close()
        self.lab.stop()


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    made = Federation(tmp_path_factory.mktemp("ledger"))
    yield made
    made.close()


@pytest.fixture
def keys(wardround: Command, federation: Federation, tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(wardround("ledger", "keys", "--home", federation.lab.folder / "south"))
    return file


def test_a_study_named_as_in_the_pacs_is_proven_to_a_third_party(
    wardround: Command, federation: Federation, keys: Path, tmp_path: Path
) -> None:
    file = tmp_path / "study.study-proof"
    told = wardround("ledger", "prove", "--study", f"{ORIGINAL}.1", "--home", federation.node, "--out", file)
    assert told.startswith("Yes.")
    assert ORIGINAL not in file.read_text()
    shown = wardround("ledger", "proof-check", file, "--keys", keys)
    assert federation.studies[1] in shown
    assert not any(study in file.read_text() for study in (federation.studies[0], federation.studies[2]))
    assert "approved by north" in shown
    assert "learned from at north in run glioma-1: 2 updates" in shown
    assert "was read for run glioma-1 to hold the cohort ready: once" in shown
    assert "was read for run glioma-1 to train on it: 2 times" in shown
    assert "was read for run glioma-1 to judge a model: once" in shown
    assert "when north judged model dddddddddddddddd…" in shown
    assert "went into the hub's aggregates of run glioma-1: 2 rounds" in shown
    assert "went into model dddddddddddddddd…, registered from run glioma-1" in shown
    assert "eeeeeee" not in shown
    assert "Not proven: that nothing else was done" in shown


def test_a_changed_proof_or_other_keys_prove_nothing(
    wardround: Command, federation: Federation, keys: Path, tmp_path: Path
) -> None:
    file, forged = tmp_path / "study.study-proof", tmp_path / "forged"
    wardround("ledger", "prove", "--study", f"{ORIGINAL}.1", "--home", federation.node, "--out", file)
    document = json.loads(file.read_text())

    def refused(**changes: object) -> str:
        forged.write_text(json.dumps(document | changes))
        return wardround("ledger", "proof-check", forged, "--keys", keys, code=1)

    assert "another root" in refused(study=federation.studies[0])
    assert "another root" in refused(opened=[document["opened"][0] | {"salt": "0" * 64}])
    lines = document["entries"]
    assert "another root" in refused(
        entries=[line | {"entry": line["entry"].replace('"round":2', '"round":3')} for line in lines]
    )
    assert "isn't a member" in refused(entries=[line for line in lines if '"kind":"member"' not in line["entry"]])
    without = [line for line in lines if '"kind":"approval"' not in line["entry"]]
    assert "rests on no approval" in refused(entries=without)
    cosigned_by_one = document["checkpoint"].rsplit("— ", 1)[0]
    assert "1 of 2 witnesses cosigned this ledger; 2 have to" in refused(checkpoint=cosigned_by_one)
    assert "no study proof" in refused(format="wardround/study-proof/v2")
    alone = tmp_path / "alone"
    alone.write_text("\n".join(keys.read_text().splitlines()[:2]).replace("north", "south"))
    assert "hash doesn't fit" in wardround("ledger", "proof-check", file, "--keys", alone, code=1)


def test_an_entry_is_proven_from_hub_and_node_alike(
    wardround: Command, federation: Federation, keys: Path, tmp_path: Path
) -> None:
    for home in (federation.hub, federation.node):
        file = tmp_path / f"{home.name}.tlog-proof"
        wardround("ledger", "prove", federation.manifest, "--home", home, "--out", file)
        shown = wardround("ledger", "proof-check", file, "--keys", keys)
        assert f"Proven: entry {federation.manifest} " in shown
        assert "is a manifest by north" in shown
        assert "north, south cosigned (2 have to)" in shown
        file.write_text(file.read_text().rsplit("— ", 1)[0])
        told = wardround("ledger", "proof-check", file, "--keys", keys, code=1)
        assert "NOT proven: 1 of 2 witnesses" in told
    assert "has no entry 999" in wardround("ledger", "prove", 999, "--home", federation.hub, code=1)
    assert "only a hospital's node" in wardround("ledger", "prove", "--study", "1.2", "--home", federation.hub, code=1)


def test_of_a_study_that_no_cohort_holds_nothing_is_said(
    wardround: Command, federation: Federation, tmp_path: Path
) -> None:
    file = tmp_path / "none"
    told = wardround("ledger", "prove", "--study", "1.2.3", "--home", federation.node, "--out", file, code=1)
    assert told.startswith("No:")
    assert not file.exists()


def test_a_new_cohort_a_purged_study_and_a_withdrawal(
    wardround: Command, federation: Federation, tmp_path: Path
) -> None:
    """The last of the file, since it changes what the others ask."""
    file = tmp_path / "study.study-proof"
    federation.approve("second")
    ask = ("ledger", "prove", "--study", f"{ORIGINAL}.1", "--home", federation.node, "--out", file)
    told = wardround(*ask)
    assert "The cohort of second has the study; its manifest waits" in told
    assert "for project second" not in told
    desk = federation.desks[0]
    with desk.home.database.writing() as session:
        decision = queries.decision_of(session, queries.row_of(session, "glioma"))
        assert decision is not None and decision.entry_index is not None
        approval = decision.entry_index
        _forget_in_manifests(session, [federation.studies[0]], now())
    desk.entries.put(
        Withdrawal(origin="north", at=now() + timedelta(days=1), project="glioma", approval=approval, reason="opt-out")
    )
    federation.settle()
    told = wardround(*ask)
    assert "for project glioma" in told and "for project second" in told
    assert "the approval was withdrawn" in told and "(opt-out)" in told
    purged = wardround("ledger", "prove", "--study", f"{ORIGINAL}.0", "--home", federation.node, code=1)
    assert purged.startswith("No:")


def test_a_person_stops_and_lets_go_on(wardround: Command, federation: Federation) -> None:
    node = federation.lab.folder / "south"
    told = wardround("ledger", "status", "--home", node)
    assert "Trusted." in told and "Witnesses: north, south; 2 have to cosign." in told
    wardround("ledger", "distrust", "north telephoned", "--home", node)
    told = wardround("ledger", "status", "--home", node, code=1)
    assert "north telephoned [distrusted]" in told and "wardround ledger trust" in told
    assert "follows the ledger again" in wardround("ledger", "trust", "all is well", "--home", node)
    assert "trusted already" in wardround("ledger", "trust", "all is well", "--home", node)
    told = wardround("ledger", "status", "--home", node)
    assert "Trusted." in told and "Witnesses: north, south; 2 have to cosign." in told


def test_a_checkpoint_handed_over_is_compared(wardround: Command, federation: Federation, tmp_path: Path) -> None:
    from wardround.ledger.checkpoint import Checkpoint, sign_checkpoint

    node, file = federation.lab.folder / "south", tmp_path / "checkpoint"
    file.write_text(wardround("ledger", "checkpoint", "--home", federation.node))
    assert "The same ledger" in wardround("ledger", "compare", file, "--home", node)
    signer = federation.lab.home.ledger_signer
    file.write_text(sign_checkpoint(Checkpoint(signer.name, 2, bytes(32)), signer))
    told = wardround("ledger", "compare", file, "--home", node, code=1)
    assert ("NOT the same ledger" in told and "[history-changed]" in told) or "[two-roots]" in told
    assert "NOT trusted" in wardround("ledger", "status", "--home", node, code=1)
    wardround("ledger", "trust", "a test", "--home", node)


def test_the_home_of_a_node_is_what_it_takes(wardround: Command, tmp_path: Path) -> None:
    assert "isn't a node's home" in wardround("ledger", "status", "--home", tmp_path, code=1)
