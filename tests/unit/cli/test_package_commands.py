"""A person looks at a package, adds it, and drafts a project on it; what isn't allowed is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.command_line import CommandLine
from tests.federation_lab import HubLab
from tests.finished_lab import onnx_file, program
from tests.unit.learning.zoo import write_zoo_bundle

from wardround.compute import jail
from wardround.contracts.project import Project
from wardround.learning.bundle import bundle_digest, packaged
from wardround.learning.packages import Packages

Command = Callable[..., str]


@pytest.fixture
def wardround(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    ran = CommandLine(monkeypatch, capsys)
    return lambda *arguments, code=0: "".join(ran(*arguments, code=code))


def test_a_package_of_our_own_form_says_what_it_reads(wardround: Command) -> None:
    told = wardround("package", "check", packaged("heart-disease"))
    assert bundle_digest(packaged("heart-disease")) in told
    assert "reads cholesterol: measurement LOINC:2093-3 in mg/dL" in told
    assert "learns to tell: condition SNOMED:56265001 (class)" in told


def test_a_bundle_from_elsewhere_is_looked_at_added_and_named_in_a_project(tmp_path: Path, wardround: Command) -> None:
    source = write_zoo_bundle(tmp_path / "spleen_ct_segmentation")
    told = wardround("package", "check", source)
    assert "preprocessing.Orientationd: used, RAS" in told
    assert "scripts/__init__.py: not needed" in told
    hub = HubLab(tmp_path).home
    assert "None was added" in wardround("package", "list", "--home", hub.path)
    told = wardround("package", "add", source, "--home", hub.path)
    [(digest, name)] = Packages(hub.packages).listed().items()
    assert name == "spleen-ct-segmentation"
    assert digest in told
    assert wardround("package", "list", "--home", hub.path) == f"{digest}  {name}\n"
    template = wardround("project", "template", "spleen", "--package", hub.packages / digest)
    plan = Project.model_validate_json(template).plan
    assert (plan.package, plan.package_digest, plan.reads, plan.metric) == (name, digest, "images", "dice")
    wardround("package", "add", source, "--home", hub.path)
    assert len(Packages(hub.packages).listed()) == 1
    hub.close()


def test_what_cant_be_used_is_said_by_name(tmp_path: Path, wardround: Command) -> None:
    source = write_zoo_bundle(tmp_path / "zoo", network_def={"_target_": "scripts.net.Net"})
    assert "network_def: refused, the network 'scripts.net.Net'" in wardround("package", "check", source, code=1)
    hub = HubLab(tmp_path).home
    assert "network_def: refused" in wardround("package", "add", source, "--home", hub.path, code=1)
    assert Packages(hub.packages).listed() == {}
    hub.close()


def test_a_project_on_records_asks_for_people_with_what_the_package_measures(wardround: Command) -> None:
    project = json.loads(wardround("project", "template", "heart", "--package", "heart-disease"))
    assert (project["plan"]["reads"], project["plan"]["metric"]) == ("records", "auc")
    assert "8480-6" in json.dumps(project["cohort"])


def test_a_package_that_is_changed_while_it_is_here_is_found_no_more(tmp_path: Path) -> None:
    packages = Packages(tmp_path / "packages")
    shutil.copytree(packaged("heart-disease"), tmp_path / "mine")
    (tmp_path / "mine/docs/NOTE.md").write_text("mine\n")
    digest = packages.add(tmp_path / "mine")
    assert packages.find("heart-disease", digest) == tmp_path / "packages" / digest
    assert packages.find("heart-disease", bundle_digest(packaged("heart-disease"))) == packaged("heart-disease")
    (tmp_path / "packages" / digest / "docs/NOTE.md").write_text("changed\n")
    with pytest.raises(ValueError, match="not the one of digest"):
        packages.find("heart-disease", digest)


ABOUT = """
name = "bright-parts"
version = "2.1"
description = "Outlines what is bright."
authors = "A maker"
copyright = "Theirs"

[network]
{network}

[preparation]
kind = "volume"
patch = [4, 16, 16]
"""


def test_a_model_that_was_bought_is_added_by_what_is_said_of_it(
    tmp_path: Path, wardround: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, about, file = HubLab(tmp_path).home, tmp_path / "about.toml", onnx_file(tmp_path / "m.onnx")
    about.write_text(ABOUT.format(network='outputs = "logits"'))
    told = wardround("package", "add", file, "--about", about, "--home", hub.path)
    [(digest, name)] = Packages(hub.packages).listed().items()
    assert name == "bright-parts" and f"wardround node model plan {digest}" in told
    assert "used as it is" in wardround("package", "check", hub.packages / digest)
    file.write_bytes(b"not a network")
    assert "ONNX Runtime can't load it" in wardround(
        "package", "add", file, "--about", about, "--home", hub.path, code=1
    )
    about.write_text(ABOUT.format(network='command = ["python", "main.py"]\nmodality = "CT"'))
    source = program(tmp_path / "source")
    monkeypatch.setattr(jail, "_unavailable", lambda: "there is no `bwrap` here; install bubblewrap")
    assert "install bubblewrap" in wardround("package", "add", source, "--about", about, "--home", hub.path, code=1)
    assert list(Packages(hub.packages).listed()) == [digest], "nothing was kept of either"
    hub.close()
