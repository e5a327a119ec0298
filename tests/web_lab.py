"""A DICOMweb service over real HTTP in front of a site's front door and enclave, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage, generate_uid
from tests.front_door import FrontDoor, studies

from wardround.foundation.web_server import WebServer
from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.service import Parts, application
from wardround.node.dicomweb.tokens import Scope, make

ORIGIN = "https://viewer.example:3000"


class Web:
    """`read` and `write` are tokens; `clock` of the door stands still."""

    def __init__(self, folder: Path, *, largest: int = 1 << 30, url: str | None = None) -> None:
        self.door = FrontDoor(folder, url=url)
        self.catalogue = Catalogue(self.door.database, self.door.objects)
        titles = {"research": "RESEARCH", "clinic": "CLINIC"}
        parts = Parts(
            self.door.database, self.catalogue, self.door.reception, titles, self.door.clock, largest, (ORIGIN,)
        )
        self.server = WebServer(application(parts), "dicomweb", host="127.0.0.1", port=0)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}/dicom-web"
        self.read = make(self.door.database, "viewer", Scope.READ, actor="operator:test")
        self.write = make(self.door.database, "sender", Scope.STORE, actor="operator:test")
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def client(self, token: str) -> DICOMwebClient:
        return DICOMwebClient(self.url, headers={"Authorization": f"Bearer {token}"})

    def get(self, path: str, accept: str = "*/*", token: str | None = None, **parameters: str) -> httpx.Response:
        """A call with the reading token; `path` below the service's own, or a whole address."""
        headers = {"Authorization": f"Bearer {token or self.read}", "Accept": accept}
        return self.http.get(path, headers=headers, params=parameters or None)

    def hold(self, objects: Iterable[Dataset]) -> None:
        """Have these in the enclave, through front door and de-identification, and shown."""
        answers = self.door.give(*(part10(one) for one in objects))
        assert {answer.name for answer in answers} == {"STORED"}
        self.door.tick()
        self.catalogue.catch_up()

    def instances(self, **keys: str) -> list[str]:
        """Addresses of what is shown, in the order of a search."""
        answer = self.get("/instances", **keys)
        return [one["00081190"]["Value"][0] for one in answer.json()] if answer.status_code == 200 else []

    def close(self) -> None:
        self.http.close()
        self.server.stop()
        self.door.close()


def part10(ds: Dataset) -> bytes:
    buffer = BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def slices(index: int = 0) -> list[Dataset]:
    """The slices of one phantom study: 16 x 16 pixels, 16 bits."""
    return [pydicom.dcmread(BytesIO(one)) for one in studies(index + 1)[index].slices]


def segmentation(index: int = 0) -> Dataset:
    return pydicom.dcmread(BytesIO(studies(index + 1)[index].segmentation))


def many_frames(frames: Sequence[np.ndarray]) -> Dataset:
    """An Enhanced MR object whose frames each have a rescale slope of their own number."""
    ds = slices()[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.SeriesInstanceUID = generate_uid()
    ds.NumberOfFrames = len(frames)
    ds.PixelData = np.stack(frames).astype("<u2").tobytes()
    for name in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"):
        if name in ds:
            delattr(ds, name)
    groups = []
    for number in range(1, len(frames) + 1):
        transformation, voi, group = Dataset(), Dataset(), Dataset()
        transformation.RescaleSlope, transformation.RescaleIntercept = number, 0
        transformation.RescaleType = "US"
        voi.WindowCenter, voi.WindowWidth = 128, 256
        group.PixelValueTransformationSequence = Items([transformation])
        group.FrameVOILUTSequence = Items([voi])
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = Items(groups)
    return ds


def enlarged(ds: Dataset, times: int = 4) -> Dataset:
    """The same picture with each pixel repeated, for codecs that take no small ones."""
    pixels = np.kron(ds.pixel_array, np.ones((times, times), dtype=ds.pixel_array.dtype))
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelData = pixels.tobytes()
    return ds
