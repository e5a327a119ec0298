"""MONAI Label's own Python client, unchanged, through every call that it knows, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.annotate_lab import Annotation, annotation, real_client, square
from tests.tls_lab import Authority
from tests.unit.people.people_lab import GOOD

from wardround.foundation.web_server import WebServer
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.server import annotation_app
from wardround.node.annotate.volume_file import NIFTI_GZ, read_file, write_file
from wardround.node.dicomweb.catalogue import Catalogue


@pytest.fixture(scope="module")
def client_module() -> Any:
    return real_client()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annotation]:
    with annotation(tmp_path_factory.mktemp("annotation"), 3) as made:
        made.person("dr-lee")
        yield made


@pytest.fixture
def client(client_module: Any, server: Annotation, tmp_path: Path) -> Any:
    made = client_module.MONAILabelClient(server.url, tmpdir=str(tmp_path), client_id="reading room 3")
    assert made.auth_enabled()
    made.update_auth(made.auth_token("dr-lee", GOOD))
    assert made.auth_valid_token()
    return made


def test_a_case_is_drawn_from_first_to_last(client: Any, server: Annotation, tmp_path: Path) -> None:
    info = client.info()
    assert info["labels"] == ["glioma"]
    assert info["models"]["clicks"]["type"] == "deepgrow"
    assert info["datastore"] == {"total": 3, "completed": 0, "label_tags": {}}

    sample = client.next_sample("first", {})
    downloaded = server.http.get("/datastore/image", params={"image": sample["id"]})
    assert downloaded.status_code == 200
    image = read_file(downloaded.content, NIFTI_GZ)
    assert image.array.shape == (4, 16, 16)
    assert np.array_equal(image.array, _stored(server, sample["SeriesInstanceUID"]))

    brightest = np.unravel_index(int(image.array.argmax()), image.array.shape)
    z, y, x = (int(at) for at in brightest)
    file, params = client.infer("clicks", sample["id"], {"foreground": [[x, y, z]], "background": []})
    outline = read_file(Path(file).read_bytes(), Path(file).name)
    assert outline.array[z, y, x] == 1
    assert np.allclose(outline.affine, image.affine)
    assert params["label_names"] == {"glioma": 1}

    label = tmp_path / "label.nii.gz"
    label.write_bytes(write_file(Grid(square().astype(np.uint8), image.affine), NIFTI_GZ))
    saved = client.save_label(sample["id"], str(label), params={"label_info": [{"name": "glioma", "idx": 1}]})
    assert saved == {"image": sample["id"], "label": sample["id"]}
    again = Path(client.download_label(sample["SeriesInstanceUID"], "final"))
    assert again.name.endswith(NIFTI_GZ)
    assert np.array_equal(read_file(again.read_bytes(), again.name).array > 0, square())
    told = client.datastore()["objects"][sample["SeriesInstanceUID"]]["labels"]["final"]["info"]
    assert (told["author"], told["version"], told["model"]) == ("dr-lee", 1, "clicks")
    assert server.audited("save-label") == ["person:dr-lee"]
    assert client.info()["datastore"]["completed"] == 1


def test_training_starts_tells_how_far_it_is_and_stops(client: Any, client_module: Any, server: Annotation) -> None:
    assert client.train_status(check_if_running=True) is False
    with pytest.raises(client_module.MONAILabelClientException):
        client.train_status()
    series = server.series()[0]
    header = {"Authorization": client._headers["Authorization"]}
    server.draw(header, series, square())
    task = client.train_start("clicks", {"max_epochs": 100_000})
    assert task["status"] == "RUNNING"
    assert client.train_status(check_if_running=True) is True
    assert client.train_status()["id"] == task["id"]
    with pytest.raises(client_module.MONAILabelClientException, match="stop it first"):
        client.train_start("clicks", {})
    stopped = client.train_stop()
    assert (stopped["status"], stopped["id"]) == ("STOPPED", task["id"])
    assert stopped["details"][-1] == "stopped"
    assert client.train_status(check_if_running=True) is False


def test_a_session_holds_a_volume_of_ones_own(
    client: Any, client_module: Any, server: Annotation, tmp_path: Path
) -> None:
    volume = tmp_path / "own.nii.gz"
    bright = np.zeros((8, 20, 20), np.int16)
    bright[2:6, 6:14, 6:14] = 500
    volume.write_bytes(write_file(Grid(bright, np.diag([2.0, 1.0, 1.0, 1.0])), NIFTI_GZ))
    session = client.create_session(str(volume))["session_id"]
    assert client.get_session(session)["name"] == "own.nii.gz"
    file, _ = client.infer("clicks", "", {"foreground": [[10, 10, 4]]}, session_id=session)
    assert read_file(Path(file).read_bytes(), file).array[4, 10, 10] == 1
    client.remove_session(session)
    with pytest.raises(client_module.MONAILabelClientException):
        client.get_session(session)
    assert client.upload_image(str(volume), "own")["image"] == "own"
    file, _ = client.infer("clicks", "own", {"foreground": [[10, 10, 4]]})
    assert read_file(Path(file).read_bytes(), file).array.any()
    label = tmp_path / "label.nii.gz"
    label.write_bytes(Path(file).read_bytes())
    with pytest.raises(client_module.MONAILabelClientException, match="by DICOM"):
        client.save_label("own", str(label))


def test_who_may_not_draw_is_told_so(client_module: Any, server: Annotation) -> None:
    stranger = client_module.MONAILabelClient(server.url)
    with pytest.raises(client_module.MONAILabelClientException):
        stranger.auth_token("dr-lee", "wrong")
    with pytest.raises(client_module.MONAILabelClientException, match="401"):
        stranger.info()
    with pytest.raises(client_module.MONAILabelClientException, match="radiologist"):
        stranger.auth_token("boss", GOOD)


def test_it_signs_in_clicks_and_is_answered_over_https(
    client_module: Any, server: Annotation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "authority", "hospital")
    own = authority.issue("node")
    # It looks at no certificate but where it sends a volume, which goes by `requests`.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))
    catalogue = Catalogue(server.door.database, server.door.objects)
    app = annotation_app(server.desk, catalogue, server.door.reception, server.door.clock)
    secure = WebServer(app, "annotation", host="127.0.0.1", port=0, certificate=own.certificate, key=own.key)
    secure.start()
    try:
        client = client_module.MONAILabelClient(f"https://127.0.0.1:{secure.port}/monailabel", tmpdir=str(tmp_path))
        client.update_auth(client.auth_token("dr-lee", GOOD))
        assert client.info()["labels"] == ["glioma"]
        sent = tmp_path / "own.nii.gz"
        bright = np.zeros((4, 20, 20), np.int16)
        bright[1:3, 6:14, 6:14] = 500
        sent.write_bytes(write_file(Grid(bright, np.diag([2.0, 1.0, 1.0, 1.0])), NIFTI_GZ))
        session = client.create_session(str(sent))["session_id"]
        file, _ = client.infer("clicks", "", {"foreground": [[10, 10, 2]]}, session_id=session)
        assert read_file(Path(file).read_bytes(), file).array[2, 10, 10] == 1
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{secure.port}/monailabel/auth/", timeout=60)
    finally:
        secure.stop()


def _stored(server: Annotation, series: str) -> Any:
    from wardround.dicom.volume import read_volume

    return read_volume(server.desk.subjects.files(series).paths).array
