"""From what a client asks for to the process that answers it, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wardround.compute.worker import Worker
from wardround.foundation.database import Database
from wardround.node.annotate import sittings, work
from wardround.node.annotate.callers import series_of
from wardround.node.annotate.form import Form
from wardround.node.annotate.guests import Guests, source_of
from wardround.node.annotate.models import Helper, Helpers
from wardround.node.annotate.subjects import Subjects
from wardround.node.annotate.volume_file import ENDINGS, NIFTI_GZ, NRRD
from wardround.node.annotate.work import BACKGROUND_SCRIBBLE, FOREGROUND_SCRIBBLE, Ask, Mark, Source
from wardround.node.dicomweb.failure import bad_request

MOST_CLICKS = 1000
_KINDS = {"uint8", "uint16", "int16", "uint32", "int32"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told; `data` is the outline's file, None where it asked for the rest alone."""

    params: Mapping[str, Any]
    file_name: str
    data: bytes | None = field(repr=False)


class Inference:
    """Args:
    worker: the process that answers, and nothing else.
    network: the weights of the click network, if it was trained.
    """

    def __init__(
        self,
        database: Database,
        subjects: Subjects,
        guests: Guests,
        helpers: Helpers,
        worker: Worker,
        network: Callable[[], Path | None],
        *,
        label: str,
        threads: int,
    ) -> None:
        self._database = database
        self._subjects = subjects
        self._guests = guests
        self._helpers = helpers
        self._worker = worker
        self._network = network
        self._label = label
        self._threads = threads

    def infer(self, actor: str, model: str, image: str, session: str, form: Form, output: str) -> Answer:
        """Raises `NotFound`, `NotAnnotated`, `WorkerDied`, or `WebFailure` (400) for parameters that can't be read."""
        helper = self._helpers.find(model)
        params = form.params
        series = series_of(image)
        source, guest = self._source(actor, series, session, form)
        ending = NRRD if output == "image" else NIFTI_GZ
        if params.get("result_extension") in ENDINGS:
            ending = params["result_extension"]
        ask = self._ask(source, model, helper, ending, form, params)
        if output == "dicom_seg":
            outline = self._worker.call(work.infer_seg, ask, model, helper.version)
            ending = ".dcm"
        else:
            outline = self._worker.call(work.infer, ask)
        if not guest:
            sittings.note_help(self._database, series, model, actor=actor)
        told = {
            "label_names": {self._label: 1},
            "voxels": outline.voxels,
            "latencies": {"total": round(outline.seconds, 4)},
        }
        return Answer(told, f"{model}{ending}", outline.data)

    def warm(self, series: str) -> None:
        """Have the process read an image of the enclave, so that somebody's first click on it waits for less. Returns
        at once; what comes of it is nobody's. Raises `NotFound`."""
        source = Source(self._subjects.files(series).paths)
        asked = Form({}, {})
        self._worker.submit(
            work.infer,
            self._ask(source, "clicks", self._helpers.find("clicks"), NIFTI_GZ, asked, {"foreground": [[0, 0, 0]]}),
        )

    def _source(self, actor: str, series: str, session: str, form: Form) -> tuple[Source, bool]:
        """What is to be outlined, and whether it is a file that was sent, with the call or before."""
        sent = form.file("file")
        if sent is not None:
            return source_of(self._guests.keep(actor, sent.name, sent.data)), True
        if session:
            return source_of(self._guests.find(actor, session)), True
        if self._subjects.holds(series):
            return Source(self._subjects.files(series).paths), False
        return source_of(self._guests.find(actor, series)), True

    def _ask(
        self, source: Source, model: str, helper: Helper, ending: str, form: Form, params: Mapping[str, Any]
    ) -> Ask:
        kind = str(params.get("result_dtype", "uint8"))
        drawn = form.file("label")
        inside = params.get("foreground") or params.get(self._label)
        return Ask(
            source=source,
            model=model,
            ending=ending,
            kind=kind if kind in _KINDS else "uint8",
            compressed=params.get("result_compress") is True,
            network=self._network() if model == "clicks" else None,
            package=helper.package,
            own=self._helpers.own_layers(helper.package),
            foreground=clicks_of(inside),
            background=clicks_of(params.get("background")),
            drawn=None if drawn is None else (drawn.name, drawn.data),
            values=_scribble_values(params),
            threads=self._threads,
        )


def clicks_of(given: object) -> tuple[Mark, ...]:
    """Clicks as a client sends them: a list of (i, j, k), in JSON of its own from some. Raises `WebFailure` 400."""
    if isinstance(given, str):
        try:
            given = json.loads(given or "[]")
        except (ValueError, RecursionError):
            raise bad_request("the clicks aren't JSON") from None
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MOST_CLICKS:
        raise bad_request(f"clicks are a list of at most {MOST_CLICKS}")
    marks = []
    for one in given:
        numbers = isinstance(one, list) and all(isinstance(at, int | float) and abs(at) < 1e6 for at in one)
        if not numbers or len(one) != 3:
            raise bad_request("a click is three numbers: column, row, slice")
        marks.append((round(one[0]), round(one[1]), round(one[2])))
    return tuple(marks)


def _scribble_values(params: Mapping[str, Any]) -> tuple[int, int]:
    """What stands for foreground and background in a scribbled mask: said by name, else as clients draw them."""
    values = {"foreground_scribbles": FOREGROUND_SCRIBBLE, "background_scribbles": BACKGROUND_SCRIBBLE}
    told = params.get("label_info")
    for one in told if isinstance(told, list) else ():
        if isinstance(one, dict) and one.get("name") in values:
            number = one.get("id", one.get("idx"))
            if isinstance(number, int):
                values[one["name"]] = number
    return values["foreground_scribbles"], values["background_scribbles"]
