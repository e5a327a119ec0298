"""A model in use helps to draw under its own name; what isn't in use, or outlines nothing, doesn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.front_door import FrontDoor, studies

from wardround.foundation.errors import NotFound
from wardround.learning.archive import unpack
from wardround.node.annotate import work
from wardround.node.annotate.models import Helpers
from wardround.node.annotate.subjects import Subjects
from wardround.node.annotate.volume_file import NRRD, read_file
from wardround.node.annotate.work import Ask, Source
from wardround.node.clinic.tables import Deployment


def test_a_deployed_model_outlines_by_itself(tmp_path: Path, package: tuple[str, bytes]) -> None:
    digest, archive = package
    unpack(archive, tmp_path / "models" / digest)
    door = FrontDoor(tmp_path)
    try:
        door.give(*studies(1)[0].slices)
        door.tick()
        helpers = Helpers(door.database, lambda one: tmp_path / "models" / one)
        assert set(helpers.listed()) == {"clicks", "scribbles", "interpolation"}
        with door.database.writing() as session:
            for model, name, active in ((digest, "brain-mri-glioma", True), ("0" * 64, "gone", True)):
                session.add(
                    Deployment(
                        model=model,
                        package=name,
                        pathway=name,
                        stage="shadow",
                        active=active,
                        deployed_by="os:anna",
                        deployed_at=door.clock(),
                    )
                )
        told = helpers.listed()
        assert set(told) == {"brain-mri-glioma", "clicks", "scribbles", "interpolation"}
        assert told["brain-mri-glioma"].told("glioma")["type"] == "segmentation"
        with pytest.raises(NotFound):
            helpers.find("gone")
        subjects = Subjects(door.database, door.objects)
        source = Source(subjects.files(subjects.listed()[0].series).paths)
        ask = Ask(source, "brain-mri-glioma", NRRD, package=told["brain-mri-glioma"].package)
        found = read_file(work.infer(ask).data, "a.nrrd").array
        assert found.shape == (4, 16, 16) and set(np.unique(found)) <= {0, 1}
    finally:
        door.close()
