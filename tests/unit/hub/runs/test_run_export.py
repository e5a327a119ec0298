"""What a run told is read back by the programs that it is written for; its picture says what it shows to everybody."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.command_line import CommandLine
from tests.unit.hub.runs.run_lab import RunLab

from wardround.hub.runs.export.chart import COLOURS, Chart, Line, ticks
from wardround.hub.runs.export.tensorboard import crc32c
from wardround.hub.runs.states import RunState

RUN = "glioma-1"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A hub with a finished run: two rounds, three sites, of which one wasn't there."""
    home = tmp_path_factory.mktemp("hub")
    (home / "hub.toml").write_text('federation = "testing"\nhost = "127.0.0.1"\n')
    lab = RunLab(home)
    run = lab.ready("north", "south", "west", target=0.9)
    assert run == RUN
    del lab.connected["west"]
    lab.drive(run, RunState.COMPARING)
    lab.train_alone()
    lab.drive(run, RunState.EVALUATING)
    lab.judge(lambda site, task: 0.2 if task.round == 1 else {"north": 0.7, "south": 0.6}[site])
    lab.drive(run, RunState.FINISHED)
    yield home
    lab.close()


@pytest.fixture
def wardround(hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    command = CommandLine(monkeypatch, capsys)
    return lambda *arguments, code=0, home=hub: command("run", *arguments, "--home", home, code=code)


SCORES = {
    (0, "north"): 0.1,
    (0, "south"): 0.1,
    (1, "north"): 0.2,
    (1, "south"): 0.2,
    (2, "north"): 0.7,
    (2, "south"): 0.6,
}
"""By round and site. A site tells of round n with its update of round n + 1; of the last one when it judges."""


def test_tables_hold_scores_by_the_round_that_they_judge_and_who_was_missing(wardround, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out, _ = wardround("export", RUN, tmp_path, "--to", "csv")
    assert f"Wrote 2 rounds and 6 scores of {RUN} to {tmp_path / RUN}" in out
    read = {file.stem: list(csv.DictReader(file.open())) for file in (tmp_path / RUN).iterdir()}
    assert {(int(row["round"]), row["site"]): float(row["score"]) for row in read["scores"]} == SCORES
    assert [row["score"] for row in read["rounds"]] == ["0.2", "0.65"]
    west = [row for row in read["sites"] if row["site"] == "west"]
    assert [(row["state"], row["reason"]) for row in west] == [("missing", "not-connected")] * 2
    assert all(int(row["bytes_up"]) > 0 for row in read["sites"] if row["state"] == "taken")
    assert {row["label"] for row in read["judgements"]} == {"federated", "local:north", "local:south"}
    wardround("export", RUN, tmp_path, "--to", "json")
    document = json.loads((tmp_path / f"{RUN}.json").read_text())
    assert {(row["round"], row["site"]): row["score"] for row in document["scores"]} == SCORES
    assert document["state"] == "finished" and document["plan"]["target"] == 0.9


def test_tensorboard_reads_its_own_files(wardround, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    wardround("export", RUN, tmp_path, "--to", "tensorboard")
    read: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for file in sorted((tmp_path / RUN).glob("*/events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                number = value.tensor.float_val[0]
                read.setdefault((file.parent.name, value.tag), []).append((event.step, pytest.approx(number)))
    assert read["site-north", "dice"] == [(0, 0.1), (1, 0.2), (2, 0.7)]
    assert read["site-south", "dice"] == [(0, 0.1), (1, 0.2), (2, 0.6)]
    assert read["all", "dice"] == [(1, 0.2), (2, 0.65)]
    assert [step for step, _ in read["site-north", "bytes/up"]] == [1, 2]


READ_BY_MLFLOW = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
(experiment,) = [one for one in client.search_experiments() if one.name == "glioma"]
(run,) = client.search_runs([experiment.experiment_id])
history = {name: [[one.step, one.value] for one in client.get_metric_history(run.info.run_id, name)]
           for name in run.data.metrics}
print(json.dumps([run.info.run_name, run.info.status, run.data.params, history]))
"""


def test_mlflow_reads_its_own_folder(wardround, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    wardround("export", RUN, tmp_path, "--to", "mlflow")
    environment = {**os.environ, "MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_BY_MLFLOW, tmp_path.as_uri()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, status, params, metrics = json.loads(done.stdout)
    assert (name, status, params["algorithm"], params["rounds"]) == (RUN, "FINISHED", "fedavg", "2")
    assert metrics["dice/north"] == [[0, 0.1], [1, 0.2], [2, 0.7]]
    assert metrics["dice_mean"] == [[1, 0.2], [2, 0.65]]
    assert [step for step, _ in metrics["bytes_down/south"]] == [1, 2]


@pytest.mark.parametrize("form", ["csv", "json", "tensorboard", "mlflow"])
def test_what_was_written_is_never_overwritten(wardround, tmp_path: Path, form: str) -> None:  # type: ignore[no-untyped-def]
    wardround("export", RUN, tmp_path, "--to", form)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert "name another" in wardround("export", RUN, tmp_path, "--to", form, code=1)[1]
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_picture_says_what_it_shows(wardround, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "run.svg"
    wardround("plot", RUN, file)
    root = ElementTree.parse(file).getroot()  # noqa: S314 - our own
    words = [text for element in root.iter() if (text := (element.text or "").strip())]
    assert f"Dice of each round's model, run {RUN}" in words
    assert "Dice on held-out patients" in words and "wanted 0.9" in words
    assert any(text.startswith("round ") for text in words)
    for told in ("north 0.700", "south 0.600", "all together 0.650"):
        assert told in words, "the legend, with the last value"
        assert any(text != told and told in text for text in words), "and in words, for who sees no picture"
    assert "is there already" in wardround("plot", RUN, file, code=1)[1]


def test_a_run_of_which_nothing_is_told_has_no_picture(lab: RunLab, tmp_path: Path, wardround) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "hub.toml").write_text('federation = "testing"\nhost = "127.0.0.1"\n')
    run = lab.ready("north", "south")
    told = wardround("plot", run, tmp_path / "run.svg", home=tmp_path, code=1)[1]
    assert "no hospital has told yet how good a round" in told


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_stands_out_from_white() -> None:
    assert all(1.05 / (luminance(colour) + 0.05) >= 3 for colour in COLOURS)


def test_no_two_of_many_lines_look_alike() -> None:
    lines = [Line(f"site <{place}> & co", [(1, 0.1), (2, 0.2)]) for place in range(24)]
    root = ElementTree.fromstring(Chart("t", "x", "y", lines).svg())  # noqa: S314 - our own
    drawn = [element.attrib for element in root.iter() if "h40" in element.attrib.get("d", "")]
    assert len({(one["stroke"], one["stroke-dasharray"]) for one in drawn}) == 24
    assert "site <3> & co 0.200" in [element.text for element in root.iter()]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 12))
def test_ticks_hold_all_values_between_them(low: float, span: float, most: int) -> None:
    found = ticks(low, low + span, most)
    slack = 1e-6 * max(span, abs(low), 1e-9)
    assert len(found) >= 2 and found == sorted(set(found))
    assert found[0] <= low + slack and found[-1] >= low + span - slack
    assert len(found) <= most + 3


def test_checksums_are_those_of_the_standard() -> None:
    """RFC 3720, B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes([0xFF]) * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
