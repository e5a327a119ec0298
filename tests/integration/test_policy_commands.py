"""`wardround node policy`: what a data controller types and reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.command_line import CommandLine
from tests.front_door import SECRET, FrontDoor, studies
from tests.unit.hub.runs.run_lab import project

from wardround.foundation.audit import operator
from wardround.foundation.clock import now
from wardround.node.audit import Audit
from wardround.node.home import NodeHome
from wardround.node.policy.adoption import adopt
from wardround.node.policy.rules import Policy
from wardround.node.policy.template import TEXT
from wardround.node.projects import actions
from wardround.node.projects.tables import ProjectRow

NODE = 'site = "north"\nfederation = "trial"\n[hub]\nhost = "127.0.0.1"\napi_port = 1\n'
ASKED = project().model_copy(update={"ends": now().date() + timedelta(days=400)})
Run = Callable[..., tuple[str, str]]


@pytest.fixture
def wardround(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process; gives what it wrote to standard output and to standard error."""
    ran = CommandLine(monkeypatch, capsys)
    return lambda *arguments, code=0: ran("node", "policy", *arguments, code=code)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[NodeHome]:
    """A hospital with two patients, and one project put before it."""
    (tmp_path / "node.toml").write_text(NODE)
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "pseudonyms.key").write_bytes(SECRET)
    door = FrontDoor(tmp_path)
    for study in studies(2):
        door.give_study(study)
    door.tick()
    made = NodeHome(tmp_path)
    adopt(made.policy, made.database, made.site, now)
    with made.database.writing() as session:
        actions.consider(session, ASKED, at=now())
    yield made
    made.close()
    door.close()


def test_show_lists_every_rule_that_holds(wardround: Run, home: NodeHome) -> None:
    home.policy_file.write_text("projects.most_runs = 3\nleaving.kind.run-update.largest_bytes = 5_000_000")
    out, _ = wardround("show", "--home", home.path)
    assert f"SHA-256 of its rules: {home.policy.current().digest()}" in out
    told = dict(line.split("  ", 1) for line in out.splitlines() if "  " in line)
    assert told["projects.most_runs"].strip() == "3"
    assert told["projects.packages"].strip() == "no rule"
    assert told["cohort.smallest_told"].strip() == "10"
    assert told["leaving.kind.run-update.largest_bytes"].strip() == "5,000,000"
    shown = json.loads(wardround("show", "--home", home.path, "--json")[0])
    assert shown["digest"] == home.policy.current().digest()
    assert shown["rules"]["projects"]["most_runs"] == 3


def test_explain_says_what_would_be_allowed_rule_by_rule(wardround: Run, home: NodeHome) -> None:
    out, _ = wardround("explain", "glioma", "--home", home.path)
    assert out.startswith("glioma (waiting): allowed by the policy ")
    assert "a cohort of 2 people" in out
    home.policy_file.write_text(
        'projects.packages = ["chest-ct"]\nprojects.most_rounds = 1\ncohort.smallest_trained_on = 3\n'
    )
    out, _ = wardround("explain", "glioma", "--home", home.path, code=1)
    lines = {line.split()[1]: line for line in out.splitlines()[1:]}
    assert lines["projects.packages"].split()[0] == "refused"
    assert lines["projects.packages"].endswith("model package brain-mri-glioma; allowed: chest-ct")
    assert lines["cohort.smallest_trained_on"].endswith("a cohort of 2 people; at least 3")
    assert lines["projects.most_rounds"].split()[0] == "tightened"
    assert lines["projects.most_rounds"].endswith("at most 2 rounds of each run; 1 rounds of each run here")
    found = json.loads(wardround("explain", "glioma", "--home", home.path, "--json", code=1)[0])
    assert found["allowed"] is False
    assert found["terms"]["rounds"] == 1
    assert {one["rule"]: one["code"] for one in found["findings"] if one["outcome"] == "refused"} == {
        "projects.packages": "package-not-allowed",
        "cohort.smallest_trained_on": "cohort-too-small",
    }


def test_explain_tries_another_policy_and_changes_nothing(wardround: Run, home: NodeHome, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('projects.article_9 = ["9-2-h"]\n')
    out, _ = wardround("explain", "glioma", "--policy", other, "--home", home.path, code=1)
    assert "GDPR Article 9-2-j; allowed: 9-2-h" in out
    wardround("explain", "glioma", "--home", home.path)
    assert "was put before this hospital" in wardround("explain", "nothing", "--home", home.path, code=1)[1]


def test_explain_says_when_no_work_is_done(wardround: Run, home: NodeHome) -> None:
    hour = now().hour
    home.policy_file.write_text(
        f'work.hours = "{(hour + 2) % 24:02}:00-{(hour + 3) % 24:02}:00"\nwork.time_zone = "UTC"'
    )
    out, _ = wardround("explain", "glioma", "--home", home.path)
    assert "No work is done at this hour" in out


def test_check_names_file_key_and_mend(wardround: Run, home: NodeHome, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("[projects]\nmost_round = 3\n")
    _, err = wardround("check", bad, "--home", home.path, code=1)
    assert err.startswith(f"wardround: {bad}: unknown key 'projects.most_round'; did you mean 'most_rounds'?")
    assert err.count("\n") == 1
    assert "there is no such policy" in wardround("check", tmp_path / "gone.toml", "--home", home.path, code=1)[1]
    home.policy_file.write_text(bad.read_text())
    assert wardround("check", "--home", home.path, code=1)[1].startswith(f"wardround: {home.policy_file}: unknown key")
    _, err = wardround("show", "--home", home.path, code=1)
    assert "nothing is allowed here until it is mended" in err and "most_rounds" in err


def test_check_says_what_would_change_for_whom(wardround: Run, home: NodeHome, tmp_path: Path) -> None:
    tried = tmp_path / "tried.toml"
    tried.write_text('projects.packages = ["chest-ct"]\ncohort.smallest_told = 25\n')
    out, _ = wardround("check", tried, "--home", home.path)
    assert "  cohort.smallest_told: 10 -> 25" in out
    assert "  projects.packages: no rule -> chest-ct" in out
    assert "project glioma (waiting): refused (projects.packages)" in out
    found = json.loads(wardround("check", tried, "--home", home.path, "--json")[0])
    assert found["projects"] == [{"project": "glioma", "state": "waiting", "allowed": False}]
    assert home.policy.current() == Policy()


def test_check_goes_on_past_a_project_of_an_earlier_version(wardround: Run, home: NodeHome) -> None:
    with home.database.writing() as session:
        session.add(ProjectRow(id="another", document=b"{}", digest="d" * 64, arrived_at=now()))
    out, _ = wardround("check", "--home", home.path)
    assert "  project another was put before this hospital by an earlier version and can't be read any more" in out
    assert "project glioma (waiting): allowed" in out
    found = json.loads(wardround("check", "--home", home.path, "--json")[0])
    assert found["projects"] == [
        {"project": "glioma", "state": "waiting", "allowed": True},
        {"project": "another", "state": None, "allowed": False},
    ]


def test_set_puts_a_policy_in_force_in_somebodys_name(wardround: Run, home: NodeHome, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text("# as the board decided\nprojects.most_runs = 3\n")
    out, _ = wardround("set", new, "--home", home.path)
    assert "  projects.most_runs: 100 -> 3" in out
    assert home.policy_file.read_text() == new.read_text()
    assert home.policy.current().projects.most_runs == 3
    with home.database.reading() as session:
        row = session.scalars(select(Audit).where(Audit.verb == "change-policy").order_by(Audit.id.desc())).first()
    assert row is not None
    assert (row.actor, row.detail.split(" ")[0]) == (operator(), home.policy.current().digest())
    new.write_text("projects.most_run = 2")
    assert "did you mean" in wardround("set", new, "--home", home.path, code=1)[1]
    assert home.policy.current().projects.most_runs == 3


def test_set_mends_a_policy_that_is_gone(wardround: Run, home: NodeHome, tmp_path: Path) -> None:
    home.policy_file.unlink()
    first = tmp_path / "first.toml"
    first.write_text(TEXT)
    wardround("set", first, "--home", home.path)
    assert NodeHome(home.path).policy.current() == Policy()
