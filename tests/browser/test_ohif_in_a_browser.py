"""OHIF's own viewer with MONAI Label's extension for it, as MONAI Label builds them, in Chromium in front of a node."""

from __future__ import annotations

import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.annotate_lab import OHIF_CALLS, annotation, wheel

from wardround.dicom.segmentation_reading import read_segmentation
from wardround.dicom.volume import read_volume
from wardround.foundation.web_server import WebServer
from wardround.node.annotate.volume_file import NRRD, read_file

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BUILT = "monailabel/endpoints/static/ohif/"
PATIENCE = 120_000
"""Milliseconds: the process that helps to draw is begun in the middle of it, and no graphics card draws here."""
LOADED = """() => window.cornerstone && [...window.cornerstone.cache._volumeCache.keys()].some(
  (key) => window.cornerstone.cache.getVolume(key)?.loadStatus?.loaded)"""
VOLUMES = """() => [...window.cornerstone.cache._volumeCache.keys()].map((key) => {
  const volume = window.cornerstone.cache.getVolume(key);
  return [volume.dimensions, Array.from(volume.voxelManager.getCompleteScalarDataArray())];
})"""
"""What it holds as volumes: columns, rows and slices of each, and the values in that order."""
OUTLINED = f"(voxels) => ({VOLUMES})().some(([, values]) => values.filter((one) => one).length === voxels)"
SLICE = """() => {
  const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
  return Math.round(viewport.getImageData().imageData.worldToIndex(viewport.getCamera().focalPoint)[2]);
}"""
PLACE = """(index) => {
  const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
  const [x, y] = viewport.worldToCanvas(viewport.getImageData().imageData.indexToWorld(index));
  const box = viewport.element.getBoundingClientRect();
  return [box.x + x, box.y + y];
}"""
CLICKABLE = """() => window.cornerstoneTools.ToolGroupManager.getAllToolGroups().some(
  (group) => group.toolOptions.ProbeMONAILabel?.mode === "Active")"""
CLICKED = """() => window.cornerstoneTools.annotation.state.getAllAnnotations().some(
  (one) => one.metadata.toolName === "ProbeMONAILabel")"""
STORE = """() => { window.commandsManager.runCommand("storeSegmentation", {
  segmentationId: "1", dataSource: window.extensionManager.getActiveDataSource()[0] }); }"""
"""What its export of a DICOM SEG calls."""


@contextmanager
def viewer(settings: dict[str, str]) -> Iterator[str]:
    """OHIF's pages from the wheel at an address of their own. `settings["node"]` is where its images come from."""
    built, lock = wheel(), threading.Lock()
    names = set(built.namelist())

    def page(request: Request) -> Response:
        name = request.path_params["name"]
        if name == "" or BUILT + name not in names:
            name = "index.html"  # whose address is one of its pages
        with lock:
            data = built.read(BUILT + name)
        if name == "app-config.js":
            data = data.replace(b"'/proxy/dicom/", f"'{settings['node']}proxy/dicom/".encode())
        return Response(data, media_type=mimetypes.guess_type(name)[0] or "application/octet-stream")

    server = WebServer(Starlette(routes=[Route("/ohif/{name:path}", page)]), "OHIF", host="127.0.0.1", port=0)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


def test_ohif_finds_a_case_and_outlines_it_but_what_it_stores_is_refused(chromium: Browser, tmp_path: Path) -> None:
    settings: dict[str, str] = {}
    with viewer(settings) as origin, annotation(tmp_path, 2, origins=(origin,)) as server:
        token = server.person("dr-lee")["Authorization"].removeprefix("Bearer ")
        settings["node"] = node = f"{server.url}/at/{token}/"
        series = server.series()[0]
        subject = server.desk.subjects.find(series)
        volume = read_volume(server.desk.subjects.files(series).paths)
        image = volume.array
        page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        answered: list[tuple[tuple[str, str, str], int]] = []

        def note(response: Any) -> None:
            if response.url.startswith(node) and response.request.method != "OPTIONS":
                asked = response.request
                call = asked.method, _general(response.url.removeprefix(node)), asked.headers["accept"]
                answered.append((call, response.status))

        page.on("response", note)
        page.route(re.compile("googleapis"), lambda route: route.abort())  # letters that it fetches from elsewhere

        page.goto(f"{origin}/ohif/")
        page.get_by_text(subject.pseudonym).first.wait_for()

        page.goto(f"{origin}/ohif/monai-label?StudyInstanceUIDs={subject.study}")
        page.get_by_text("Confirm and Hide").click()
        page.wait_for_function(LOADED)
        page.fill("#monailabelServerURL", node)
        page.locator(".settingsTable button").click()
        page.get_by_text("Point Prompts", exact=True).click()
        page.locator("tr.clickable-row", has_text="glioma").click()
        k = page.evaluate(SLICE)
        j, i = (int(at) for at in np.unravel_index(int(image[k].argmax()), image[k].shape))
        page.wait_for_function(CLICKABLE)
        page.mouse.click(*page.evaluate(PLACE, [i, j, k]))
        page.wait_for_function(CLICKED)  # it waits for whether the click is to be a double one
        with page.expect_response(lambda response: "/infer/" in response.url) as inferred:
            page.get_by_title("Run PointPrompts").click()
        assert f'"foreground":[[{i},{j},{k}]]' in (inferred.value.request.post_data or "")
        mask = read_file(inferred.value.body(), NRRD).array > 0
        assert mask[k, j, i]
        page.wait_for_function(OUTLINED, arg=int(mask.sum()))
        held = [np.reshape(values, size[::-1]) for size, values in page.evaluate(VOLUMES)]
        assert any(np.array_equal(one, image) for one in held), "its slices are in the order of ours"
        assert any(np.array_equal(one > 0, mask) for one in held), "and so are those of the outline"

        page.evaluate(STORE)
        with page.expect_response(lambda response: response.request.method == "POST") as stored:
            page.get_by_role("button", name="Save").click()
        sent = read_segmentation(_instance(stored.value.request.post_data_buffer), volume)
        assert np.array_equal(sent[::-1], mask), "it writes each outline onto the mirrored slice"
        assert stored.value.status == 409 and server.audited("save-label") == []

        page.get_by_text("Active Learning", exact=True).click()
        with page.expect_response(lambda response: "/activelearning/" in response.url) as given:
            page.get_by_role("button", name="Next Sample").click()
        page.get_by_role("cell", name=given.value.json()["SeriesInstanceUID"]).wait_for()
        page.context.close()
    refused = {call for call, status in answered if status >= 400}
    assert {path for _, path, _ in refused} == {"train/?check_if_running=true", "proxy/dicom/wado/studies"}
    assert {call for call, _ in answered} == {
        (method, path.format(study="UID", series="UID", instance="UID", patient="PATIENT"), accept)
        for method, path, accept in OHIF_CALLS
    }, "the calls that are replayed where there is no browser are those that it really makes"


def _general(address: str) -> str:
    """Without what is another one each time."""
    return re.sub(r"2\.25\.\d+", "UID", re.sub(r"WR-\w+", "PATIENT", address))


def _instance(message: bytes | None) -> bytes:
    """The one object of a STOW-RS message."""
    assert message is not None
    start = message.index(b"\r\n\r\n") + 4
    return message[start : message.rindex(b"\r\n--")]
