"""A model in use is made ready before its first study, and no study waits for another model's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from tests.clinic_lab import Clinic, ToyReader, made

from wardround.node.clinic import reader
from wardround.node.clinic.deployment import active
from wardround.node.clinic.tables import Deployment


class Preparing:
    """The two processes' places: what was begun there, which a test ends."""

    def __init__(self) -> None:
        self.begun: list[tuple[Any, Path, Future[None]]] = []
        self.running = False

    def submit(self, step: Any, package: Path, *_: Any) -> Future[None]:
        self.begun.append((step, package, Future()))
        self.running = True
        return self.begun[-1][2]

    def stop(self) -> None:
        self.running = False


@pytest.fixture
def preparing(monkeypatch: pytest.MonkeyPatch) -> Preparing:
    preparing = Preparing()
    monkeypatch.setattr("tests.clinic_lab.Prepared", lambda: preparing)
    return preparing


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> Preparing:
    loading = Preparing()
    monkeypatch.setattr(ToyReader, "submit", lambda _, *given: loading.submit(*given))
    return loading


@pytest.fixture
def clinic(tmp_path: Path, package: tuple[str, bytes], preparing: Preparing, loading: Preparing) -> Iterator[Clinic]:
    for clinic in made(tmp_path, package, ToyReader()):
        clinic.register()
        clinic.deploy()
        yield clinic


def ready_at(clinic: Clinic) -> list[Any]:
    with clinic.node.database.reading() as session:
        return [row.ready_at for row in active(session)]


def test_a_model_is_made_ready_without_a_study_and_that_is_told(
    clinic: Clinic, preparing: Preparing, loading: Preparing
) -> None:
    clinic.pathway.tick()
    [(step, package, made)] = preparing.begun
    assert (step, package) == (reader.prepare, clinic.models / clinic.digest)
    assert loading.begun == [] and ready_at(clinic) == [None]
    made.set_result(None)
    clinic.pathway.tick()
    [(step, _, loaded)] = loading.begun
    assert step is reader.warm and not preparing.running, "what made it is ended with what it had loaded"
    loaded.set_result(None)
    clinic.pathway.tick()
    assert ready_at(clinic) == [clinic.node.clock()]
    clinic.pathway.tick()
    assert (len(preparing.begun), len(loading.begun)) == (1, 1)


def test_the_first_study_waits_for_what_is_being_made_and_has_nothing_made_twice(
    clinic: Clinic, preparing: Preparing, loading: Preparing
) -> None:
    clinic.arrive()
    clinic.pathway.tick()
    assert clinic.states() == [("waiting", "")] and clinic.worker.reads == []
    preparing.begun[0][2].set_result(None)
    clinic.pathway.tick()
    assert clinic.states() == [("read", "")] and len(preparing.begun) == 1


def test_a_model_that_could_not_be_made_ready_is_read_with_all_the_same(
    clinic: Clinic, preparing: Preparing, loading: Preparing, caplog: pytest.LogCaptureFixture
) -> None:
    clinic.arrive()
    clinic.pathway.tick()
    preparing.begun[0][2].set_exception(RuntimeError("of its maker"))
    clinic.pathway.tick()
    loading.begun[0][2].set_exception(RuntimeError("of its maker"))
    for _ in range(3):
        clinic.pathway.tick()
    assert clinic.states() == [("read", "")] and ready_at(clinic) == [None]
    assert [one.message for one in caplog.records if "could not be loaded" in one.message] == [
        f"model {clinic.digest[:12]} could not be loaded: RuntimeError"
    ]


def test_no_study_waits_for_another_model_nor_for_the_same_on_another_pathway(
    clinic: Clinic, preparing: Preparing, loading: Preparing
) -> None:
    clinic.pathway.tick()
    preparing.begun[0][2].set_result(None)
    other = "0" * 64
    shutil.copytree(clinic.models / clinic.digest, clinic.models / other)
    for pathway, model in (("again", clinic.digest), ("other", other)):
        clinic.define(pathway, model=model)
        with clinic.node.database.writing() as session:
            [first, *_] = active(session)
            said = {one.key: getattr(first, one.key) for one in inspect(Deployment).columns if one.key != "id"}
            session.add(Deployment(**{**said, "pathway": pathway, "model": model}))
    clinic.arrive()
    clinic.pathway.tick()
    assert [state for state, _ in clinic.states()] == ["read", "read", "waiting"]
    assert [package.name for _, package, _ in preparing.begun] == [clinic.digest, other]
