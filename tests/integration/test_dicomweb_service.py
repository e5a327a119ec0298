"""The DICOMweb service over real HTTP, driven by dicomweb-client: store in, and what the enclave shows."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from tests.front_door import FrontDoor, studies

from wardround.node.dicomweb.catalogue import Catalogue
from wardround.node.dicomweb.server import WebServer
from wardround.node.dicomweb.service import Parts, application
from wardround.node.dicomweb.tokens import Scope, make, revoke


class Web:
    def __init__(self, folder: Path) -> None:
        self.door = FrontDoor(folder)
        self.catalogue = Catalogue(self.door.database, self.door.objects)
        titles = {"research": "RESEARCH", "clinic": "CLINIC"}
        app = application(Parts(self.door.database, self.catalogue, self.door.reception, titles, self.door.clock))
        self.server = WebServer(app, host="127.0.0.1", port=0)
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}/dicom-web"
        self.read = make(self.door.database, "viewer", Scope.READ, actor="operator:test")
        self.write = make(self.door.database, "sender", Scope.STORE, actor="operator:test")

    def client(self, token: str) -> DICOMwebClient:
        return DICOMwebClient(self.url, headers={"Authorization": f"Bearer {token}"})

    def close(self) -> None:
        self.server.stop()
        self.door.close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    made = Web(tmp_path)
    yield made
    made.close()


def test_what_is_stored_is_seen_de_identified_and_retrieved(web: Web) -> None:
    study = studies()[0]
    sent = [pydicom.dcmread(BytesIO(part10)) for part10 in (*study.slices, study.segmentation)]
    answer = web.client(web.write).store_instances(sent)
    assert len(answer.ReferencedSOPSequence) == 5
    client = web.client(web.read)
    web.catalogue.catch_up()
    assert client.search_for_studies() == []
    web.door.tick()
    web.catalogue.catch_up()
    [found] = client.search_for_studies()
    uid = found["0020000D"]["Value"][0]
    assert uid != str(sent[0].StudyInstanceUID)
    assert found["00201208"]["Value"] == [5]
    series = client.search_for_series(uid, search_filters={"Modality": "MR"})
    [mr] = [one["0020000E"]["Value"][0] for one in series]
    objects = client.retrieve_series(uid, mr)
    assert len(objects) == 4
    first = objects[0]
    metadata = client.retrieve_series_metadata(uid, mr)
    assert {one["00080018"]["Value"][0] for one in metadata} == {str(one.SOPInstanceUID) for one in objects}
    frames = client.retrieve_instance_frames(uid, mr, str(first.SOPInstanceUID), [1])
    assert frames == [first.PixelData]


def test_a_token_opens_only_what_it_is_for(web: Web) -> None:
    def status(token: str) -> int:
        return httpx.get(f"{web.url}/studies", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [status("x"), status("wrong"), status(web.write), status(web.read)] == [401, 401, 403, 204]
    revoke(web.door.database, "viewer", actor="operator:test")
    assert status(web.read) == 401
