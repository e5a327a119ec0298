"""Pulls on the node's pages: what an engineer orders there, what wasn't had and why, and who gets to see the names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from tests.pages_lab import ASKED, NodeLab, send, words_of
from tests.tls_lab import Authority

from wardround.foundation.clock import now
from wardround.node.audit import Audit
from wardround.node.retrieve import report
from wardround.node.retrieve.tables import PullItem, PullJob
from wardround.node.retrieve.wiring import sealing_at

LATER = f"{now() + timedelta(hours=2):%H}:00-{now() + timedelta(hours=2):%H}:30"
"""Hours that haven't begun."""
PACS = f"""\
[pacs]
host = "10.1.2.9"
port = 104
ae_title = "HOSPITALPACS"
[retrieve]
hours = "{LATER}"
time_zone = "UTC"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeLab]:
    made = NodeLab(tmp_path_factory.mktemp("node"), PACS)
    yield made
    made.close()


@pytest.fixture
def browser(lab: NodeLab) -> httpx.Client:
    return lab.face.browser("engineer")


def audit(lab: NodeLab) -> list[tuple[str, str]]:
    with lab.home.database.reading() as session:
        rows = session.scalars(select(Audit).where(Audit.actor == "person:engineer").order_by(Audit.id))
        return [(row.verb, row.subject) for row in rows if row.subject.startswith("pull ")]


def test_an_engineer_orders_a_list_holds_it_and_lets_it_go_on(lab: NodeLab, browser: httpx.Client) -> None:
    assert "No study was pulled yet" in words_of(browser.get("/pulls"))
    ordered = send(browser, "/pulls", list="A1\n# a remark\nA2\nA1\n", path="research", modality="mr")
    assert ordered.status_code == 303
    where = ordered.headers["location"].split("?")[0]
    number = int(where.rsplit("/", 1)[1])
    with lab.home.database.reading() as session:
        items = session.scalars(select(PullItem).where(PullItem.job_id == number).order_by(PullItem.line)).all()
    asks = [sealing_at(lab.home).open(item.sealed, number, item.line) for item in items]
    assert [(ask.accession, ask.modality) for ask in asks] == [("A1", "MR"), ("A2", "MR")]
    told = words_of(browser.get(where))
    assert "0 of 2" in told and "A1" not in told and LATER in told
    assert send(browser, f"{where}/pause").status_code == 303
    assert report.job(lab.home.database, number).state == "paused"
    assert "paused" in words_of(browser.get(where))
    send(browser, f"{where}/resume")
    assert report.job(lab.home.database, number).state == "running"
    send(browser, f"{where}/cancel")
    told = words_of(browser.get(where))
    assert "was cancelled: 2" in told and "cancelled before its turn" in told
    again = send(browser, f"{where}/resume")
    assert again.status_code == 403 and "a pull that is cancelled can't become running" in words_of(again)
    of_it = [verb for verb, subject in audit(lab) if subject == f"pull {number}"]
    assert of_it == ["pull", "pause-pull", "resume-pull", "cancel-pull"]


def test_what_was_not_had_is_named_to_who_may_pull_and_it_is_noted(lab: NodeLab, browser: httpx.Client) -> None:
    became = {"ACC-1": ("done", ""), "ACC-2": ("absent", "not-in-the-pacs"), "ACC-3": ("failed", "incomplete")}
    number = lab.pull("ACC-1", "ACC-2", "ACC-3", became=became)
    for reader in (browser, lab.face.browser("radiologist")):
        page = reader.get(f"/pulls/{number}")
        assert "1 of 3" in words_of(page) and "the PACS has no such study" in words_of(page)
        assert "ACC-" not in page.text
        assert ("asked for by" in words_of(page)) == (reader is browser)
        assert "ACC-" not in reader.get(f"/pulls/{number}?all=yes").text
    assert ("report-pull", f"pull {number}") not in audit(lab)
    named = send(browser, f"/pulls/{number}/names")
    assert named.status_code == 200
    assert "ACC-2" in named.text and "ACC-3" in named.text and "ACC-1" not in named.text
    assert audit(lab)[-1] == ("report-pull", f"pull {number}")


def test_the_cohort_of_a_project_is_asked_for_within_days_or_it_is_said_what_is_missing(
    lab: NodeLab, browser: httpx.Client
) -> None:
    before = len(report.jobs(lab.home.database))
    for typed, why in (
        ({"project": ASKED.id}, "needs dates"),
        ({"project": ASKED.id, "list": "A1"}, "in a pull of its own"),
        ({"project": "none-such"}, "no project none-such"),
        ({}, "nothing is asked for"),
        ({"list": "A*"}, "the list, line 1"),
        ({"list": "A1", "modality": "M*"}, "the modality isn't a defined term"),
        ({"project": ASKED.id, "from": "2024-01-01", "to": "2024-02-01", "modality": "MR"}, "leave the modality out"),
        ({"list": "A1", "from": "31.1.2025"}, "written as 2025-01-31"),
        ({"list": "A1", "path": "elsewhere"}, "what the studies are for"),
    ):
        refused = send(browser, "/pulls", **({"path": "research"} | typed))
        assert refused.status_code in (403, 404, 409) and why in words_of(refused), words_of(refused)
    assert len(report.jobs(lab.home.database)) == before, "what was refused was ordered"
    ordered = send(
        browser, "/pulls", **{"project": ASKED.id, "path": "research", "from": "2024-01-01", "to": "2024-02-01"}
    )
    assert ordered.status_code == 303, words_of(ordered)
    [newest, *_] = report.jobs(lab.home.database)
    with lab.home.database.reading() as session:
        item = session.scalars(select(PullItem).where(PullItem.job_id == newest.number)).one()
    assert sealing_at(lab.home).open(item.sealed, newest.number, item.line).question == ASKED.cohort


def test_a_certificate_that_cant_be_read_is_told_of_on_the_first_page(
    lab: NodeLab, browser: httpx.Client, tmp_path: Path
) -> None:
    lab.home.certificate.write_text("scratched")
    told = words_of(browser.get("/today"))
    assert "the hub's root can't be read; put the folder identity back from a backup" in told
    lab.home.certificate.write_bytes(Authority(tmp_path, "north").root.read_bytes())
    assert "can't be read" not in words_of(browser.get("/today"))


def test_a_pull_that_stands_still_for_a_reason_waits_for_a_person_on_the_first_page(
    lab: NodeLab, browser: httpx.Client
) -> None:
    number = lab.pull("B1", became={})
    with lab.home.database.writing() as session:
        job = session.get_one(PullJob, number)
        job.state = "paused"
    stands = f"Pull {number} stands still"
    assert stands not in words_of(browser.get("/today")), "a person paused it, and knows"
    with lab.home.database.writing() as session:
        session.get_one(PullJob, number).note = "destination-unknown"
    told = words_of(browser.get("/today"))
    assert f"{stands}: the PACS doesn't know this node as a destination" in told
    assert "It waits: the PACS doesn't know this node as a destination" in words_of(browser.get(f"/pulls/{number}"))
