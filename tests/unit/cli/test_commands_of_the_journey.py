"""Each command says what it did and what comes next; what can't be done is one line with its mend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from tests.command_line import CommandLine
from tests.federation_lab import HubLab
from typer.main import get_command

from wardround.cli.ledger import _plain as entry_in_words
from wardround.cli.main import build
from wardround.contracts.disclosure import Count
from wardround.contracts.ledger_entry import Approval
from wardround.contracts.outbound import ProjectDecision
from wardround.contracts.project import Project
from wardround.contracts.project_words import in_words
from wardround.foundation.clock import now
from wardround.hub.projects import actions as hub_projects
from wardround.hub.runs.tables import RoundRow, RoundSiteRow
from wardround.hub.tasks.tables import QueuedTask
from wardround.ledger.envelope import sign_entry
from wardround.ledger.log import Log
from wardround.node.home import NodeHome
from wardround.node.projects import actions as node_projects


class Ended:
    """What a command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def wardround(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run a command in this process."""
    monkeypatch.setenv("COLUMNS", "200")
    ran = CommandLine(monkeypatch, capsys)

    def command(*arguments: object, code: int = 0) -> Ended:
        out, err = ran(*arguments, code=code)
        if code == 1 and err:
            assert err.startswith("wardround: ") and err.count("\n") == 1, err
        return Ended(code, out, err)

    return command


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    made = HubLab(tmp_path_factory.mktemp("federation"))
    made.start()
    made.node("north").close()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def hub(lab: HubLab) -> Path:
    return lab.home.path


@pytest.fixture(scope="module")
def node(lab: HubLab) -> Path:
    return lab.folder / "north"


def created(wardround, hub: Path, folder: Path, name: str) -> Project:  # type: ignore[no-untyped-def]
    told = wardround("project", "template", name, "--sites", 1)
    (folder / "project.json").write_text(told.out)
    wardround("project", "create", folder / "project.json", "--home", hub)
    return Project.model_validate_json(told.out)


def approved(lab: HubLab, project: Project) -> None:
    """The node's answer, put where it would have come in."""
    home = NodeHome(lab.folder / "north")
    log = Log(lab.home.ledger_origin, lab.home.ledger_key)
    digest = project.content_digest()
    entry = Approval(origin="north", at=now(), project=project.id, project_digest=digest)
    with lab.home.database.writing() as session:
        index = log.append(session, sign_entry(entry, home.ledger_key, lab.home.ledger_origin))
        told = ProjectDecision(
            project=project.id, project_digest=digest, answer="approved", entry=index, people=Count(about=None)
        )
        hub_projects.take_decision(session, "north", told, entry, at=now())


def test_a_researchers_project(wardround, hub: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    project = created(wardround, hub, tmp_path, "reading-aid")
    again = wardround("project", "create", tmp_path / "project.json", "--home", hub)
    assert f"Drafted reading-aid: {project.cohort.in_words()}." in again.out
    assert "project count reading-aid" in again.out and "project submit" in again.out
    counted = wardround("project", "count", "reading-aid", "--home", hub, "--wait", 0)
    assert "north" in counted.out and "no answer yet" in counted.out
    submitted = wardround("project", "submit", "reading-aid", "--home", hub)
    assert "Submitted to north" in submitted.out and "node show reading-aid" in submitted.out
    assert "is submitted" in wardround("project", "submit", "reading-aid", "--home", hub, code=1).err
    assert "can't be edited" in wardround("project", "create", tmp_path / "project.json", "--home", hub, code=1).err
    shown = wardround("project", "show", "reading-aid", "--home", hub)
    assert f"{project.title} (submitted)" in shown.out


def test_what_a_project_file_cant_be(wardround, hub: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "p.json"
    assert "can't be read" in wardround("project", "create", file, "--home", hub, code=1).err
    file.write_text("{not json")
    assert "neither JSON nor TOML" in wardround("project", "create", file, "--home", hub, code=1).err
    document = json.loads(wardround("project", "template", "good-name").out)
    document["plan"]["rounds"] = 0
    file.write_text(json.dumps(document))
    assert "plan.rounds: Input should be greater" in wardround("project", "create", file, "--home", hub, code=1).err
    assert "2 to 40 lower-case" in wardround("project", "template", "Bad Name", code=2).err
    for option, value in (("--package", "nope"), ("--setting", "nope")):
        assert "nope" in wardround("project", "template", option, value, code=1).err


def tasks_of(lab: HubLab, site: str) -> list[str]:
    with lab.home.database.reading() as session:
        return [task.kind for task in session.query(QueuedTask).filter(QueuedTask.site == site)]


def test_a_run_from_start_to_its_end(wardround, lab: HubLab, hub: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "there is no run" in wardround("run", "show", "nothing", "--home", hub, code=1).err
    assert "wardround run start PROJECT" in wardround("run", "list", "--home", hub).out
    project = created(wardround, hub, tmp_path, "to-run")
    assert "submit it first" in wardround("run", "start", "to-run", "--home", hub, code=1).err
    wardround("project", "submit", "to-run", "--home", hub)
    assert "needs 1 approving sites and has 0 (none)" in wardround("run", "start", "to-run", "--home", hub, code=1).err
    approved(lab, project)
    assert "north: approved, ledger entry" in wardround("project", "show", "to-run", "--home", hub).out
    assert "wardround run watch to-run-1" in wardround("run", "start", "to-run", "--home", hub).out
    assert (
        "run to-run-1 of project to-run is not over" in wardround("run", "start", "to-run", "--home", hub, code=1).err
    )
    shown = wardround("run", "show", "to-run-1", "--home", hub).out
    assert "gathering" in shown and "waits for a quorum of sites" in shown and "No round is whole yet" in shown
    stopped = wardround("run", "stop", "to-run-1", "--reason", "wrong plan", "--home", hub)
    assert "Run to-run-1 is stopped after round 0" in stopped.out
    assert "to-run-1  stopped  round 0  wrong plan" in wardround("run", "list", "--home", hub).out
    assert "can't become stopped" in wardround("run", "stop", "to-run-1", "--home", hub, code=1).err
    assert tasks_of(lab, "north").count("end-run") == 0, "the sites keep what they need"
    assert "to-run-1 goes on after round 0" in wardround("run", "resume", "to-run-1", "--home", hub).out
    assert "so there is nothing to resume" in wardround("run", "resume", "to-run-1", "--home", hub, code=1).err
    assert "is ended after round 0" in wardround("run", "end", "to-run-1", "--home", hub).out
    assert "can't become ended" in wardround("run", "end", "to-run-1", "--home", hub, code=1).err
    assert tasks_of(lab, "north").count("end-run") == 1, "the sites are told"


def test_a_run_shows_who_is_missing_and_why(wardround, lab: HubLab, hub: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    project = created(wardround, hub, tmp_path, "to-show")
    wardround("project", "submit", "to-show", "--home", hub)
    approved(lab, project)
    wardround("run", "start", "to-show", "--home", hub)
    absent = [
        ("missing", "south", "no-contact"),
        ("missing", "east", "refused: too-far"),
        ("refused", "east", "too-far"),
        ("missing", "west", "declined: disk-full"),
        ("refused", "north", "duplicate"),
    ]
    with lab.home.database.writing() as session:
        made = {"aggregate": "0" * 64, "seconds": 1.0, "committed_at": datetime(2026, 11, 30, tzinfo=UTC)}
        session.add(RoundRow(run="to-show-1", number=1, leg=1, entry=None, score=None, **made))
        session.add(RoundSiteRow(run="to-show-1", round=1, site="north", state="taken", score=None, entry=None))
        for state, site, reason in absent:
            session.add(
                RoundSiteRow(run="to-show-1", round=1, site=site, state=state, reason=reason, score=None, entry=None)
            )
    shown = " ".join(wardround("run", "show", "to-show-1", "--home", hub).out.split())
    assert "no-contact: nothing was heard of it" in shown
    assert "too-far: its update changes the model far more than the others' do" in shown
    assert "disk-full: its disk is full; make room there" in shown
    assert "duplicate: it sent a second update in the round; the first counts" in shown


def test_a_data_controllers_decisions(wardround, lab: HubLab, hub: Path, node: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "No project was put before this hospital" in wardround("node", "projects", "--home", node).out
    decide = ("--digest", "0" * 64, "--home", node)
    assert "no project to-decide" in wardround("node", "approve", "to-decide", *decide, code=1).err
    project = created(wardround, hub, tmp_path, "to-decide")
    home = NodeHome(node)
    with home.database.writing() as session:
        node_projects.consider(session, project, at=now())
    home.close()
    shown = wardround("node", "projects", "--home", node).out
    assert "to-decide: waiting, with this hospital's data controller" in shown
    assert f"Read it: wardround node show to-decide --home {node}" in shown
    told = wardround("node", "show", "to-decide", "--home", node).out
    for line in (
        *in_words(project),
        "Here now:     0 people in the cohort",
        f"Edition:      {project.content_digest()}",
    ):
        assert line in told
    assert f"approve to-decide --digest {project.content_digest()}" in told
    assert "isn't the one that stands now" in wardround("node", "approve", "to-decide", *decide, code=1).err
    beginning = wardround("node", "approve", "to-decide", "--digest", project.content_digest()[:8], *decide[2:], code=1)
    assert "give all 64 digits" in beginning.err
    decide = ("--digest", project.content_digest(), "--home", node)
    assert "has 0 patients here" in wardround("node", "approve", "to-decide", *decide, code=1).err
    looser = wardround("node", "approve", "to-decide", *decide, "--rounds", project.plan.rounds + 1, code=1).err
    assert "rounds are more than the" in looser
    for option, value in (("--until", "never"), ("--message", "run-update"), ("--message", "images=x1")):
        assert option in wardround("node", "approve", "to-decide", *decide, option, value, code=2).err
    assert (
        "nothing was approved" in wardround("node", "withdraw", "to-decide", "--reason", "no", *decide[2:], code=1).err
    )
    assert "no free text leaves" in wardround("node", "refuse", "to-decide", "--reason", "Mr Doe", *decide, code=2).err
    refused = wardround("node", "refuse", "to-decide", "--reason", "not-lawful-here", *decide)
    assert "Refused to-decide: not-lawful-here" in refused.out
    assert "is refused here" in wardround("node", "approve", "to-decide", *decide, code=1).err
    assert "Refused (not-lawful-here) by os:" in wardround("node", "show", "to-decide", "--home", node).out


def test_an_engineers_and_a_wards_commands(wardround, node: Path) -> None:  # type: ignore[no-untyped-def]
    assert "enclave: 0 patients" in wardround("node", "intake", "--home", node).out
    empty = wardround("node", "worklist", "--home", node).out
    assert "No study is on the worklist" in empty and f"wardround node deploy MODEL --home {node}" in empty
    none = wardround("node", "records", "status", "--home", node).out
    assert (
        "No health record was loaded" in none
        and f"wardround node records load PATH --as FORM --source NAME --home {node}" in none
    )
    none = wardround("node", "deploy", "f" * 64, "--home", node, code=1)
    assert "wardround pathway new brain-mri-glioma" in none.err
    made = ("pathway", "new", "brain-mri-glioma", "--from", "glioma-mr", "--model", "f" * 64)
    wardround(*made, "--home", node)
    refused = wardround("node", "deploy", "f" * 64, "--home", node, code=1)
    assert "wardround model list" in refused.err and "wardround ledger verify" in refused.err


def test_models_and_what_they_cant_be(wardround, hub: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "wardround run start PROJECT" in wardround("model", "list", "--home", hub).out
    unknown = wardround("model", "export", "0" * 64, tmp_path / "new", "--home", hub, code=1)
    assert "wardround model list" in unknown.err
    there = wardround("model", "export", "0" * 64, tmp_path, "--home", hub, code=1)
    assert "name a new folder" in there.err
    wardround("model", "score", tmp_path / "none", "--data", tmp_path, code=1)


def test_the_ledger_on_either_side(wardround, hub: Path, node: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shown = wardround("ledger", "show", "--home", hub).out
    assert "member" in shown and "north" in shown
    assert entry_in_words({"until": None, "rounds": 2, "messages": [], "no_local_model": False}) == "rounds 2"
    assert entry_in_words({"north": {"dice": 0.68012}}) == "north dice 0.6801"
    assert entry_in_words({"about": None}) == Count(about=None).in_words()
    assert "neither a hub's nor a node's home" in wardround("ledger", "show", "--home", tmp_path, code=1).err
    assert f"{hub} is a hub's home" in wardround("ledger", "status", "--home", hub, code=1).err
    for home in (hub, node):
        told = wardround("ledger", "verify", "--home", home)
        assert "Everything holds" in told.out and "not yet a quorum" in told.out
        found = json.loads(wardround("ledger", "verify", "--home", home, "--json").out)
        assert found["problems"] == [] and found["quorum_met"] is False


HUB_COMMANDS = [
    ("project", "count", "p"),
    ("project", "submit", "p"),
    ("project", "show", "p"),
    ("project", "withdraw", "p", "--reason", "no-reason"),
    ("run", "start", "p"),
    ("run", "show", "r"),
    ("run", "stop", "r"),
    ("run", "resume", "r"),
    ("run", "end", "r"),
    ("run", "list"),
    ("model", "list"),
    ("model", "export", "0" * 64, "new"),
]
NODE_COMMANDS = [
    ("node", "projects"),
    ("node", "show", "p"),
    ("node", "approve", "p", "--digest", "0" * 64),
    ("node", "refuse", "p", "--digest", "0" * 64, "--reason", "no-reason"),
    ("node", "withdraw", "p", "--reason", "no-reason"),
    ("node", "intake"),
    ("node", "deploy", "0" * 64),
    ("node", "worklist"),
    ("node", "egress"),
]


@pytest.mark.parametrize("arguments", HUB_COMMANDS + NODE_COMMANDS, ids=lambda arguments: " ".join(arguments[:2]))
def test_a_wrong_home_is_one_line_with_the_mend(wardround, tmp_path: Path, arguments: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    told = wardround(*arguments, "--home", tmp_path / "nowhere", code=1)
    assert "isn't a" in told.err and "`wardround" in told.err


@pytest.mark.parametrize("arguments", HUB_COMMANDS[:9], ids=lambda arguments: " ".join(arguments[:2]))
def test_an_unknown_name_is_one_line_that_says_what_there_is(wardround, hub: Path, arguments: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    told = wardround(*arguments, "--home", hub, code=1)
    assert "known: " in told.err


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if hasattr(group, "commands"):
        for name, command in group.commands.items():
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(get_command(build([])))), ids=lambda path: " ".join(path) or "wardround")
def test_every_command_has_help(wardround, path: tuple[str, ...]) -> None:  # type: ignore[no-untyped-def]
    told = wardround(*path, "--help")
    assert told.out.strip().startswith("Usage: wardround")
    assert len(told.out.splitlines()) > 4


def test_help_lists_each_command_with_its_whole_first_sentence(wardround, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "80")
    told = " ".join(wardround("node", "--help").out.split())
    assert (
        "Approve the edition that you read, signed with this hospital's key; freezes the cohort as it is now." in told
    )
    assert "Serve until Ctrl-C or SIGTERM. egress" in told, "and no more than that"


LIGHT = """
import sys
from wardround.cli.main import run
hub, node = sys.argv[1:]
for line in (
    "project count light --wait 0", "project show light", "project submit light", "run list", "run show light-1",
    "run stop light-1", "model list", "model export 00000000 new", "ledger show", "ledger verify",
):
    sys.argv = ["wardround", *line.split(), "--home", hub]
    try:
        run()
    except SystemExit:
        pass
for line in (
    "projects", "show light", "approve light --digest 0", "refuse light --digest 0 --reason no-reason",
    "withdraw light --reason no-reason", "intake", "worklist", "egress", "deploy 00000000",
):
    sys.argv = ["wardround", "node", *line.split(), "--home", node]
    try:
        run()
    except SystemExit:
        pass
sys.argv = ["wardround", "project", "template"]
try:
    run()
except SystemExit:
    pass
heavy = {"torch", "monai", "nvflare"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_only_what_needs_it_loads_torch(hub: Path, node: Path) -> None:
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, hub, node],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
