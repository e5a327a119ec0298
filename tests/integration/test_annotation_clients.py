"""The calls of 3D Slicer, OHIF and MITK as each makes them, and who gets nothing, over real HTTP."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid
from tests.annotate_lab import OHIF_CALLS, ORIGIN, Annotation, annotation, parts, square
from tests.unit.people.people_lab import GOOD

from wardround.dicom.segmentation import write_annotation
from wardround.node.annotate.grid import Grid
from wardround.node.annotate.tables import AnnotationTrait
from wardround.node.annotate.volume_file import NIFTI_GZ, NRRD, read_file, write_file
from wardround.people.roles import Role
from wardround.people.sessions import end_all


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Annotation]:
    with annotation(tmp_path_factory.mktemp("annotation"), 2) as made:
        yield made


@pytest.fixture(scope="module")
def lee(server: Annotation) -> dict[str, str]:
    return server.person("dr-lee")


@pytest.fixture(scope="module")
def may(server: Annotation) -> dict[str, str]:
    return server.person("dr-may")


def test_slicers_download_without_a_header_opens_its_own_case_once(server: Annotation, lee: dict[str, str]) -> None:
    sample = server.http.post("/activelearning/first", json={"client_id": "a"}, headers=lee).json()
    series = sample["SeriesInstanceUID"]
    other = next(one for one in server.series() if one != series)
    ticket = sample["id"].partition("~")[2]
    for name in (series, f"{series}~", f"{series}~{ticket[:-1]}", ""):
        assert server.http.get("/datastore/image", params={"image": name}).status_code == 401
    first = server.http.get("/datastore/image", params={"image": sample["id"]})
    assert first.status_code == 200
    assert f'filename="{series}.nii.gz"' in first.headers["content-disposition"]
    assert server.http.get("/datastore/image", params={"image": sample["id"]}).status_code == 401
    again = server.http.post("/activelearning/first", json={}, headers=lee).json()
    stolen = again["id"].replace(again["SeriesInstanceUID"], series if again["SeriesInstanceUID"] == other else other)
    assert server.http.get("/datastore/image", params={"image": stolen}).status_code == 401


def test_slicers_scribbles_and_its_formats(server: Annotation, lee: dict[str, str]) -> None:
    series = server.series()[0]
    image = read_file(server.http.get("/datastore/image", params={"image": series}, headers=lee).content, NIFTI_GZ)
    drawn = np.zeros(image.array.shape, np.uint8)
    drawn[1:3, 6, 6:9], drawn[0, 0, :] = 3, 2
    label = write_file(Grid(drawn, image.affine), NIFTI_GZ)
    params = {"result_extension": ".nrrd", "result_dtype": "uint8", "client_id": "user-xyz", "roi": []}
    answer = server.http.post(
        "/infer/scribbles",
        params={"image": series},
        data={"params": json.dumps(params)},
        files={"label": ("drawn.nii.gz", label)},
        headers=lee,
    )
    (kind, told), (image_kind, data) = parts(answer)
    assert (kind, image_kind) == ("application/json", "application/octet-stream")
    assert json.loads(told)["label_names"] == {"glioma": 1}
    found = read_file(data, NRRD)
    assert found.array.dtype == np.uint8 and found.array[1, 6, 7] == 1 and found.array[0, 0, 0] == 0
    between = np.zeros(image.array.shape, np.uint8)
    between[0, 4:9, 4:9] = between[3, 4:9, 4:9] = 1
    filled = server.http.post(
        "/infer/interpolation",
        params={"image": series, "output": "image"},
        files={"label": ("drawn.nrrd", write_file(Grid(between, image.affine), NRRD))},
        headers=lee,
    )
    assert read_file(filled.content, NRRD).array[1:3, 6, 6].tolist() == [1, 1]


def test_every_call_that_ohif_was_seen_to_make_is_answered(server: Annotation, lee: dict[str, str]) -> None:
    subject = server.desk.subjects.find(server.series()[1])
    within = f"/at/{lee['Authorization'].removeprefix('Bearer ')}/"
    instance = pydicom.dcmread(server.desk.subjects.files(subject.series).paths[0]).SOPInstanceUID
    params = {"foreground": [[7, 6, 1]], "background": [], "result_extension": ".nrrd", "result_compress": False}
    sent = {"infer": {"files": {"params": (None, json.dumps(params))}}, "activelearning": {"json": {}}}
    for method, path, accept in OHIF_CALLS:
        kind, names = path.partition("/")[0], {"study": subject.study, "series": subject.series}
        answer = server.http.request(
            method,
            within + path.format(**names, instance=instance, patient=subject.pseudonym),
            headers={"Accept": accept, "Origin": ORIGIN},
            **sent.get(kind, {}) if method == "POST" else {},
        )
        expected = 404 if kind == "train" else 400 if path.endswith("wado/studies") and method == "POST" else 200
        assert answer.status_code == expected, (path, answer.text)
        assert answer.headers["access-control-allow-origin"] == ORIGIN, path
        if kind == "proxy" and expected == 200 and "json" in accept:
            assert answer.json()[0]["0020000D"]["Value"], path


def test_ohif_outlines_and_a_segmentation_is_stored_by_the_series_uid(
    server: Annotation, lee: dict[str, str], tmp_path: Path
) -> None:
    """Its address holds the session, since its pages send no header."""
    series = server.series()[1]
    within = f"/at/{lee['Authorization'].removeprefix('Bearer ')}"
    allowed = server.http.options(f"{within}/info/", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "GET"})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert server.http.get(f"{within}/info/", headers={"Origin": ORIGIN}).json()["labels"] == ["glioma"]
    [study] = [
        one["0020000D"]["Value"][0]
        for one in server.http.get(f"{within}/proxy/dicom/qido/studies").json()
        if server.desk.subjects.find(series).study == one["0020000D"]["Value"][0]
    ]
    metadata = server.http.get(f"{within}/proxy/dicom/wado/studies/{study}/series/{series}/metadata").json()
    assert len(metadata) == 4
    params = {"foreground": [[7, 6, 1]], "background": [], "result_extension": ".nrrd", "restore_label_idx": False}
    answer = server.http.post(
        f"{within}/infer/clicks",
        params={"image": series, "output": "image"},
        data={"params": json.dumps(params)},
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    assert b"encoding: raw" in answer.content[:600]
    files = server.desk.subjects.files(series).paths
    seg = write_annotation(files, square())
    elsewhere = pydicom.dcmread(BytesIO(seg))
    elsewhere.ReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()
    out = BytesIO()
    elsewhere.save_as(out)
    by_ohif, mirrored = pydicom.dcmread(BytesIO(seg)), BytesIO()
    by_ohif.file_meta.ImplementationVersionName = "OHIF-VIEWER-2.0.0"
    by_ohif.save_as(mirrored)
    body = b"".join(
        b"--cut\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n"
        for one in (seg, out.getvalue(), mirrored.getvalue())
    )
    stored = server.http.post(
        f"{within}/proxy/dicom/stow/studies",
        content=body + b"--cut--",
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=cut'},
    )
    assert stored.status_code == 202
    assert len(stored.json()["00081199"]["Value"]) == 1
    reasons = [one["00081197"]["Value"] for one in stored.json()["00081198"]["Value"]]
    assert reasons == [[0x0110], [0xC000]], "one of an unknown series, one by OHIF, which swaps slices"
    label = server.http.get("/datastore/label", params={"label": series, "tag": "final"}, headers=lee)
    assert np.array_equal(read_file(label.content, NIFTI_GZ).array > 0, square())


def test_a_dicom_seg_of_an_outline_lies_on_the_series(server: Annotation, lee: dict[str, str]) -> None:
    series = server.series()[0]
    answer = server.http.post(
        "/infer/clicks",
        params={"image": series, "output": "dicom_seg"},
        data={"params": json.dumps({"foreground": [[7, 6, 1]], "label_info": [{"name": "glioma"}]})},
        files={"unused": ("a.bin", b"")},
        headers=lee,
    )
    assert answer.headers["content-type"] == "application/dicom"
    seg = pydicom.dcmread(BytesIO(answer.content))
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"


def test_mitk_sends_its_volume_along(server: Annotation, lee: dict[str, str]) -> None:
    bright = np.zeros((8, 20, 20), np.int16)
    bright[2:6, 6:14, 6:14] = 500
    volume = write_file(Grid(bright, np.diag([2.0, 1.0, 1.0, 1.0])), NIFTI_GZ)
    params = json.dumps({"foreground": [[10, 10, 4]], "result_extension": ".nii.gz"})
    answer = server.http.post(
        "/infer/clicks", data={"params": params}, files={"file": ("image.nii.gz", volume)}, headers=lee
    )
    assert [kind for kind, _ in parts(answer)] == ["application/json", "application/octet-stream"]
    assert read_file(parts(answer)[1][1], NIFTI_GZ).array[4, 10, 10] == 1
    beside = json.dumps({"foreground": [[10, 10, 40]]})
    refused = server.http.post(
        "/infer/clicks", data={"params": beside}, files={"file": ("image.nii.gz", volume)}, headers=lee
    )
    assert refused.status_code == 422 and "beside the image" in refused.json()["detail"]


def test_heads_tell_whether_something_is_there(server: Annotation, lee: dict[str, str]) -> None:
    series = server.series()[0]
    image = server.http.get("/datastore/image", params={"image": series}, headers=lee).content
    from hashlib import sha256

    right, wrong = sha256(image).hexdigest(), "0" * 64
    for name, digest, status in ((series, right, 200), (series, f"SHA256:{wrong}", 404), ("1.2.3", "", 404)):
        given = {"image": name, **({"check_sum": digest} if digest else {})}
        assert server.http.head("/datastore/image", params=given, headers=lee).status_code == status


def test_nobody_who_may_not_reaches_anything(server: Annotation, lee: dict[str, str]) -> None:
    calls = [
        ("GET", "/info/"), ("GET", "/logs/"), ("POST", "/activelearning/first"), ("GET", "/datastore/"),
        ("GET", "/datastore/image"), ("GET", "/datastore/image/info"), ("PUT", "/datastore/"),
        ("PUT", "/datastore/image"), ("PUT", "/datastore/label"), ("GET", "/datastore/label"),
        ("GET", "/datastore/label/info"), ("POST", "/infer/clicks"), ("PUT", "/session/"), ("GET", "/session/a"),
        ("DELETE", "/session/a"), ("GET", "/train/"), ("POST", "/train/"), ("POST", "/train/clicks"),
        ("DELETE", "/train/"), ("GET", "/proxy/dicom/qido/studies"), ("POST", "/proxy/dicom/stow/studies"),
        ("GET", "/auth/token/valid"),
    ]  # fmt: skip
    engineer = {"Authorization": f"Bearer {_session(server, 'eng-kim', Role.ENGINEER)}"}
    for method, path in calls:
        for header, statuses in (({}, {401}), ({"Authorization": "Bearer x"}, {401}), (engineer, {401, 403})):
            assert server.http.request(method, path, headers=header).status_code in statuses, (method, path)
    gone = server.person("dr-gone")
    assert server.http.get("/info/", headers=gone).status_code == 200
    end_all(server.roster, "dr-gone", actor="os:anna")
    assert server.http.get("/info/", headers=gone).status_code == 401
    assert server.http.get("/auth/").json()["enabled"] is True


def test_what_cannot_be_answered_is_said_in_words(server: Annotation, lee: dict[str, str]) -> None:
    series = server.series()[0]
    asked = [
        ("POST", "/activelearning/best", {}, 404, "uncertainty"),
        ("POST", "/infer/unknown", {"image": series}, 404, "/info/"),
        ("POST", "/infer/clicks", {"image": "1.2.3"}, 404, "nothing of this name"),
        ("POST", "/infer/scribbles", {"image": series}, 422, "label"),
        ("POST", "/train/unknown", {}, 404, "clicks"),
        ("GET", "/datastore/label", {"label": series, "tag": "other"}, 404, "no label"),
        ("GET", "/nothing", {}, 404, "no such resource"),
    ]
    for method, path, query, status, words in asked:
        answer = server.http.request(method, path, params=query, headers=lee)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), (path, answer.text)


def test_a_model_that_hangs_holds_up_nobody_else(server: Annotation, lee: dict[str, str]) -> None:
    series = server.series()[0]

    def click() -> httpx.Response:
        params = json.dumps({"foreground": [[7, 6, 1]]})
        return server.http.post("/infer/clicks", params={"image": series}, data={"params": params}, headers=lee)

    assert click().status_code == 200
    [process] = server.desk.helping.process_ids()
    os.kill(process, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(click)
            assert server.http.get("/info/", headers=lee).status_code == 200
            assert server.http.get("/datastore/image", params={"image": series}, headers=lee).status_code == 200
            assert not waiting.done()
            os.kill(process, signal.SIGCONT)
            assert waiting.result().status_code == 200
    finally:
        os.kill(process, signal.SIGCONT)


def test_each_strategy_gives_the_case_that_it_is_named_for(tmp_path: Path) -> None:
    """Each asked by somebody new, with one case drawn, all looked at, and doubts as if a network had told them."""
    with annotation(tmp_path, 4) as server:
        drawn, *others = server.series()
        assert server.desk.look_at_images() == 4 and server.desk.look_at_images() == 0
        with server.door.database.writing() as session:
            rows = {row.series: row for row in session.query(AnnotationTrait)}
            looks = {series: row.look for series, row in rows.items()}
            for series, doubt in zip((drawn, *others), (0.9, 0.2, 0.7, 0.4), strict=True):
                rows[series].doubt = doubt

        def given(strategy: str) -> str:
            person = f"dr-{strategy}"
            header = server.person(person)
            sample = server.http.post(f"/activelearning/{strategy}", json={}, headers=header).json()
            server.desk.give_back(f"person:{person}")
            return str(sample["SeriesInstanceUID"])

        assert given("first") == drawn
        assert server.draw(server.person("dr-lee"), drawn, square()).status_code == 200
        assert given("uncertainty") == others[1]
        assert given("diversity") == max(others, key=lambda series: math.dist(looks[series], looks[drawn]))
        assert given("random") in others
        listed = server.http.get("/info/", headers=server.person("dr-may")).json()["strategies"]
        assert set(listed) == {"first", "random", "uncertainty", "diversity"}


def test_two_people_save_beside_each_other(server: Annotation, lee: dict[str, str], may: dict[str, str]) -> None:
    series = server.series()[0]
    for header, last in ((lee, 3), (may, 2)):
        assert server.draw(header, series, square(last=last)).status_code == 200
    mine = server.http.get("/datastore/label", params={"label": series, "tag": "final"}, headers=lee)
    assert int((read_file(mine.content, NIFTI_GZ).array > 0).sum()) == 60
    assert set(server.audited("save-label")) >= {"person:dr-lee", "person:dr-may"}


def _session(server: Annotation, name: str, role: Role) -> str:
    from wardround.people.sign_in import sign_in

    server._invite(name, role)
    return sign_in(server.roster, name, GOOD, source="desk").token
