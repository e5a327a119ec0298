"""`wardround cohort count` over health records: loaded and counted at the hospitals, told in rounded numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path

import pytest
from tests import records_lab
from tests.federation_lab import HubLab

from wardround.cli.main import run
from wardround.contracts.cohort_builder import codes, condition, patients
from wardround.contracts.task import CountCohort
from wardround.foundation.clock import now
from wardround.node.cohort.answering import Answering
from wardround.node.deidentify.department import Department
from wardround.node.desk import Desk
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link
from wardround.node.records.schema import FEMALE, MALE
from wardround.node.records.wiring import loader_at
from wardround.node.settings import CohortSettings

PEOPLE = 200
HIP = condition(codes("ICD10CM", "S72.0"))
Told = dict[str, dict[str, int | None]]


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HubLab, Told]]:
    """Two nodes, each with two hundred people: half of them women, three quarters with a broken hip; and what each of
    them is to tell."""
    hub = HubLab(tmp_path_factory.mktemp("records"))
    hub.start()
    told: Told = {}
    with ExitStack() as stack:
        stack.callback(hub.stop)
        for site in ("north", "south"):
            home = hub.node(site)
            desk = Desk(home)
            stack.enter_context(closing(desk))
            with closing(Department(home)) as department:
                names = [f"{site}-{number}" for number in range(PEOPLE)]
                rows = [
                    records_lab.person(name, date(1950, 1, 1), MALE if place % 2 else FEMALE)
                    for place, name in enumerate(names)
                ]
                rows += [records_lab.condition(name, f"c{place}") for place, name in enumerate(names) if place % 4 != 3]
                loader_at(home, department).load(records_lab.given(rows), hub.folder, source="trust", actor="os:tests")
                known = [department.pseudonyms.patient(name) for name in names]
            broken = [pseudonym for place, pseudonym in enumerate(known) if place % 4 != 3]
            women = known[::2]
            told[site] = {
                "all": desk.discloser.people(broken).about,
                "F": desk.discloser.people(women).about,
                "M": desk.discloser.people(set(broken) - set(women)).about,
            }
            handlers = TaskHandlers()
            answering = Answering(home.database, desk.census, desk.gateway, desk.discloser, CohortSettings(), now)
            handlers.register(CountCohort)(answering.answer)
            link = Link(home, desk.gateway, handlers)
            link.start()
            stack.callback(link.stop)
        yield hub, told


@pytest.fixture
def count(
    federation: tuple[HubLab, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, object]]:
    def command(question: str, *options: str) -> dict[str, object]:
        file = tmp_path / "question.json"
        file.write_text(question)
        asked = ["wardround", "cohort", "count", str(file), "--home", str(federation[0].home.path), "--json"]
        monkeypatch.setattr(sys, "argv", [*asked, "--researcher", "Ada Lovelace", "--wait", "30", *options])
        with pytest.raises(SystemExit) as ended:
            run()
        out = capsys.readouterr()
        assert not ended.value.code, out.err
        found: dict[str, object] = json.loads(out.out)
        return found

    return command


def test_people_with_a_diagnosis_are_counted_where_their_records_are(
    federation: tuple[HubLab, Told], count: Callable[..., dict[str, object]]
) -> None:
    _, told = federation
    plain = '{"where": {"kind": "condition", "codes": {"codes": [{"vocabulary": "ICD10CM", "code": "S72.0"}]}}}'
    built = patients.with_(HIP).question()
    for question in (plain, built.model_dump_json()):
        found = count(question, "--by", "sex")
        assert found["question"] == built.content_digest()
        sites = {site["site"]: site for site in found["sites"]}  # type: ignore[attr-defined] - JSON
        for site, wanted in told.items():
            assert wanted["all"] and sites[site]["about"] == wanted["all"]
            assert {part["value"]: part["about"] for part in sites[site]["parts"]} == {
                "F": wanted["F"],
                "M": wanted["M"],
            }


def test_calendar_years_are_refused_with_a_code(
    federation: tuple[HubLab, Told], count: Callable[..., dict[str, object]]
) -> None:
    found = count(patients.with_(HIP).question().model_dump_json(), "--by", "year")
    assert [site["reason"] for site in found["sites"]] == ["no-years-here"] * 2  # type: ignore[attr-defined] - JSON
