"""An annotation server over real HTTP in front of a site's enclave, with people who sign in, for tests."""

from __future__ import annotations

import importlib.util
import re
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.front_door import FrontDoor, studies
from tests.unit.people.people_lab import GOOD, CountedPasswords

from wardround.demo.patients import StudyInstances
from wardround.foundation.web_server import WebServer
from wardround.node import audit
from wardround.node.annotate.desk import AnnotationDesk
from wardround.node.annotate.server import annotation_app
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file, write_file
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.settings import AnnotationSettings
from wardround.people import accounts
from wardround.people.grants import scoped
from wardround.people.roles import Program, Role
from wardround.people.roster import Roster
from wardround.people.settings import PeopleSettings

ORIGIN = "https://viewer.example:3000"
_LISTED = "proxy/dicom/qido/studies?%slimit=101&offset=0&fuzzymatching=true&includefield=00081030%%2C00080060%s"
_OCTETS = 'multipart/related; type="application/octet-stream"; transfer-syntax="*"'
_AXIOS = "application/json,multipart/form-data"
OHIF_CALLS = (
    ("GET", _LISTED % ("", ""), "application/dicom+json"),
    ("GET", _LISTED % ("", "&StudyInstanceUID={study}"), "application/dicom+json"),
    ("GET", _LISTED % ("00100020={patient}&", ""), "application/dicom+json"),
    ("GET", "proxy/dicom/wado/studies/{study}/metadata", f"application/dicom+json, {_OCTETS}"),
    ("GET", "proxy/dicom/wado/studies/{study}/series/{series}/instances/{instance}/frames/1", _OCTETS),
    ("GET", "info/", "application/json, text/plain, */*"),
    ("GET", "train/?check_if_running=true", "application/json, text/plain, */*"),
    ("POST", "infer/clicks?image={series}&output=image", _AXIOS),
    ("POST", "activelearning/random", _AXIOS),
    ("POST", "proxy/dicom/wado/studies", "*/*"),
)
"""What OHIF and its MONAI Label extension ask a node for, and what each call accepts, as the browser test saw them."""


class Annotation:
    """`url` is what a client is given. The people's second factor is off: `signed` tests it apart."""

    def __init__(self, folder: Path, patients: int = 2, *, url: str | None = None, **settings: Any) -> None:
        self.door = FrontDoor(folder, url=url)
        for study in studies(max(patients, 1))[:patients]:
            self.give(study)
        self.roster = Roster(
            self.door.database,
            Program.NODE,
            "north",
            folder / "people.key",
            audit.record,
            PeopleSettings(second_factor="optional"),
            clock=self.door.clock,
            passwords=CountedPasswords,
        )
        self.desk = AnnotationDesk(
            self.door.database,
            self.door.objects,
            self.roster,
            folder / "annotation",
            AnnotationSettings(**{"origins": (ORIGIN,), **settings}),
            lambda digest: folder / "models" / digest,
            self.door.clock,
        )
        catalogue = Catalogue(self.door.database, self.door.objects)
        catalogue.catch_up()
        app = annotation_app(self.desk, catalogue, self.door.reception, self.door.clock)
        self.server = WebServer(app, "annotation", host="127.0.0.1", port=0)
        self.desk.start()
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}/monailabel"
        self.http = httpx.Client(base_url=self.url, timeout=120)
        self._invite("boss", Role.OPERATOR)

    def give(self, study: StudyInstances) -> None:
        """Have the images of a study in the enclave, without its own segmentation."""
        assert {answer.name for answer in self.door.give(*study.slices)} == {"STORED"}
        self.door.tick()

    def person(self, name: str, role: Role = Role.RADIOLOGIST) -> dict[str, str]:
        """Somebody with an account: the header of their session."""
        self._invite(name, role)
        token = self.http.post("/auth/token", data={"username": name, "password": GOOD}).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    def audited(self, verb: str) -> list[str]:
        with self.door.database.reading() as session:
            rows = session.query(audit.Audit.actor).filter(audit.Audit.verb == verb).order_by(audit.Audit.id)
            return [actor for (actor,) in rows]

    def series(self) -> list[str]:
        return [subject.series for subject in self.desk.subjects.listed()]

    def draw(self, header: dict[str, str], series: str, mask: NDArray[np.bool_], **params: Any) -> httpx.Response:
        """Save a label as a client does, on the image as the server gives it."""
        import json

        image = self.http.get("/datastore/image", params={"image": series}, headers=header)
        grid = read_file(image.content, NIFTI_GZ)
        label = write_file(type(grid)(mask.astype(np.uint8), grid.affine), NIFTI_GZ)
        return self.http.put(
            "/datastore/label",
            params={"image": series, "tag": "final"},
            data={"params": json.dumps(params)},
            files={"label": ("drawn.nii.gz", label)},
            headers=header,
        )

    def close(self) -> None:
        self.http.close()
        self.server.stop()
        self.desk.stop()
        self.door.close()

    def _invite(self, name: str, role: Role) -> None:
        given = [scoped(self.roster, role, None)]
        code, _ = accounts.add(self.roster, name, "", given, actor="os:anna")
        accounts.enrol(self.roster, name, code, GOOD, "", source="desk")


@contextmanager
def annotation(folder: Path, patients: int = 2, **settings: Any) -> Iterator[Annotation]:
    made = Annotation(folder, patients, **settings)
    try:
        yield made
    finally:
        made.close()


def square(shape: Sequence[int] = (4, 16, 16), first: int = 1, last: int = 3) -> NDArray[np.bool_]:
    """A square in the slices from `first` to before `last`."""
    mask = np.zeros(tuple(shape), bool)
    mask[first:last, 4:9, 5:11] = True
    return mask


def parts(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """The parts of a result, each its Content-Type and body, in the order in which they came."""
    boundary = re.fullmatch(r"multipart/form-data; boundary=(.+)", answer.headers["content-type"])
    assert boundary is not None
    pieces = answer.content.split(b"--" + boundary[1].encode())[1:-1]
    found = []
    for piece in pieces:
        head, _, body = piece.partition(b"\r\n\r\n")
        kind = re.search(rb"Content-Type: (.+)", head)
        assert kind is not None
        found.append((kind[1].strip().decode(), body.removesuffix(b"\r\n")))
    return found


def wheel() -> zipfile.ZipFile:
    """MONAI Label's wheel that `make` fetched, with its client and a built OHIF in it; skips where there is none."""
    wheels = sorted((Path(sys.prefix) / "artefacts").glob("monailabel-*.whl"))
    if not wheels:
        pytest.skip("MONAI Label's wheel isn't here; `make` fetches it (tests/artefacts.txt)")
    return zipfile.ZipFile(BytesIO(wheels[-1].read_bytes()))


def real_client() -> ModuleType:
    """The module `monailabel.client.client` of that wheel."""
    source = wheel().read("monailabel/client/client.py")
    if sys.version_info >= (3, 13):
        pytest.skip("MONAI Label's client imports cgi, which Python 3.13 no longer has")
    spec = importlib.util.spec_from_loader("monailabel_client", loader=None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    exec(compile(source, "monailabel/client/client.py", "exec"), module.__dict__)
    return module
