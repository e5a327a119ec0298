"""A question's way: the command at the hub, every node at once over real connections, and the table that comes back."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.command_line import CommandLine
from tests.federation_lab import PATIENCE, HubLab

from wardround.contracts.cohort_query import CohortQuestion
from wardround.contracts.cohort_tree import Imaging
from wardround.contracts.task import Axis, CountCohort
from wardround.foundation.clock import now
from wardround.foundation.errors import NotAllowed
from wardround.node.cohort.answering import Answering, Found
from wardround.node.cohort.disclosure import Discloser
from wardround.node.cohort.noise import PersonWords, Tally
from wardround.node.gateway.gateway import Gateway
from wardround.node.home import NodeHome
from wardround.node.link.handlers import TaskHandlers
from wardround.node.link.link import Link
from wardround.node.settings import CohortSettings

QUESTION = CohortQuestion(where=Imaging(modality="MR", body_part="BRAIN"))
Run = Callable[..., str]


@pytest.fixture
def wardround(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    ran = CommandLine(monkeypatch, capsys)

    def command(*arguments: object, code: int = 0) -> str:
        out, err = ran(*arguments, code=code)
        return out if code == 0 else err

    return command


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubLab]:
    made = HubLab(tmp_path_factory.mktemp("cohort"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def nodes(hub: HubLab) -> dict[str, NodeHome]:
    return {site: hub.node(site) for site in ("north", "south", "east", "west")}


@pytest.fixture
def federation(nodes: dict[str, NodeHome]) -> Iterator[dict[str, NodeHome]]:
    """Four nodes: two with people, one with few, and one that never answers."""
    tallies = {"north": Tally(300, 100), "south": Tally(140, 50), "east": Tally(3, 1)}
    release = threading.Event()

    def counting(site: str) -> Callable[[CohortQuestion, tuple[Axis, ...]], Found]:
        def count(_question: CohortQuestion, by: tuple[Axis, ...]) -> Found:
            if "year" in by:
                raise NotAllowed("no years", code="no-years-here")
            found = tallies[site]
            return Found(found, {axis: {"F": found, "M": Tally(0, 0)} for axis in by})

        return count

    with ExitStack() as stack:
        for site, home in nodes.items():
            gateway = stack.enter_context(closing(Gateway(home)))
            handlers = TaskHandlers()
            if site == "west":
                handlers.register(CountCohort)(lambda _task: (release.wait(PATIENCE), None)[1])
            else:
                discloser = Discloser(PersonWords(bytes(32)))
                answering = Answering(home.database, counting(site), gateway, discloser, CohortSettings(), now)
                handlers.register(CountCohort)(answering.answer)
            link = Link(home, gateway, handlers)
            link.start()
            stack.callback(link.stop)
        stack.callback(release.set)
        yield nodes


@pytest.fixture
def question(tmp_path: Path) -> Path:
    file = tmp_path / "question.json"
    file.write_text(QUESTION.model_dump_json())
    return file


def test_the_answers_of_all_sites_come_back_as_one_table(
    federation: dict[str, NodeHome], hub: HubLab, wardround: Run, question: Path
) -> None:
    asked = ("cohort", "count", question, "--home", hub.home.path, "--researcher", "Ada Lovelace", "--wait", 5)
    found = json.loads(wardround(*asked, "--by", "sex", "--json"))
    sites = {site["site"]: site for site in found["sites"]}
    assert {name: (site["state"], site["about"]) for name, site in sites.items()} == {
        "north": ("told", 300), "south": ("told", 150), "east": ("told", None), "west": ("waiting", None),
    }  # fmt: skip
    assert found["total"] == {"about": 450, "sites_told": 2, "sites_untold": 1}
    assert found["by"] == {"sex": {"F": {"about": 450, "sites_told": 2, "sites_untold": 1}}}
    shown = wardround("cohort", "show", found["ask"], "--home", hub.home.path)
    assert QUESTION.in_words() in shown
    assert "at least about 450, of 3 of the sites" in shown
    assert "fewer than 10, or too few to tell" in shown
    assert "Not in the total: west (no answer yet)" in shown
    assert found["ask"] in wardround("cohort", "list", "--home", hub.home.path)
    log = wardround("node", "cohort", "log", "--home", federation["north"].path)
    assert "Ada Lovelace" in log and "about 300, and 1 groups" in log
    [row] = json.loads(wardround("node", "cohort", "log", "--home", federation["north"].path, "--json"))
    assert (row["asked_by"], row["project"], row["cost"], row["words"]) == (
        "Ada Lovelace",
        None,
        2,
        QUESTION.in_words(),
    )


def test_a_refusal_is_told_by_its_code(
    federation: dict[str, NodeHome], hub: HubLab, wardround: Run, question: Path
) -> None:
    asked = ("cohort", "count", question, "--home", hub.home.path, "--wait", 3)
    shown = wardround(*asked, "--by", "year")
    assert shown.count("refused: no-years-here") == 3
    assert "by year: no group large enough to be told" in shown
    log = wardround("node", "cohort", "log", "--home", federation["east"].path)
    assert "refused: no-years-here" in log


BAD = {
    "{": "isn't JSON",
    '{"where": {"kind": "imaging", "patient_name": "DOE"}}': "where.patient_name",
    "SELECT * FROM person": "isn't JSON",
    '{"where": ' + '{"kind": "not", "of": ' * 500 + "{}" + "}" * 501: "too deeply",
    '{"where": "' + "x" * 70_000 + '"}': "at most 65536",
}


@pytest.mark.parametrize(("text", "said"), BAD.items(), ids=["cut", "unknown key", "SQL", "deep", "large"])
def test_what_isnt_a_question_isnt_asked(
    hub: HubLab, wardround: Run, tmp_path: Path, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    before = wardround("cohort", "list", "--home", hub.home.path)
    for command in (("cohort", "count", file, "--home", hub.home.path), ("cohort", "check", file)):
        told = wardround(*command, code=1)
        assert told.startswith(f"wardround: {file}: ") and said in told and told.count("\n") == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert said in wardround("cohort", "check", "-", code=1)
    assert wardround("cohort", "list", "--home", hub.home.path) == before


def test_options_that_say_nothing_are_refused(hub: HubLab, wardround: Run, question: Path) -> None:
    asked = ("cohort", "count", question, "--home", hub.home.path)
    assert "broken down by any of age" in wardround(*asked, "--by", "name", code=2)
    assert "each once" in wardround(*asked, "--by", "sex,sex", code=2)
    assert "leave out one" in wardround(*asked, "--project", "p", "--researcher", "Ada", code=2)
    assert "letters, digits" in wardround(*asked, "--researcher", "<b>", code=2)
    assert "known: " in wardround(*asked, "--project", "nothing", code=1)


def test_a_question_is_said_in_words_without_asking_anybody(wardround: Run, question: Path) -> None:
    told = wardround("cohort", "check", question)
    assert QUESTION.in_words() in told and QUESTION.content_digest() in told
