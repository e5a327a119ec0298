"""What the annotation server stands on, and what its calls come to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

import wardround
from wardround.compute.worker import Worker, WorkerDied
from wardround.foundation.clock import Clock, now
from wardround.foundation.database import Database
from wardround.foundation.errors import Conflict, NotFound
from wardround.foundation.files import ObjectStore
from wardround.node import audit
from wardround.node.annotate import sittings, work
from wardround.node.annotate.callers import Callers, Tickets, series_of
from wardround.node.annotate.choice import CHOSEN, STRATEGIES, Strategy, strategy_of
from wardround.node.annotate.form import FormFile
from wardround.node.annotate.guests import Guest, Guests
from wardround.node.annotate.inference import Inference
from wardround.node.annotate.labels import FINAL, Labels
from wardround.node.annotate.models import Helpers
from wardround.node.annotate.sittings import Rules
from wardround.node.annotate.subjects import Subject, Subjects
from wardround.node.annotate.tables import AnnotationLabel, AnnotationTrait
from wardround.node.annotate.told import Agreement, agreements, image_info, listing, stats
from wardround.node.annotate.training import CLICKS, Training
from wardround.node.annotate.volume_file import NIFTI_GZ
from wardround.node.annotate.work import NotAnnotated, Source
from wardround.node.dicomweb.multipart import PartReader, boundary_of, media_type
from wardround.node.settings import AnnotationSettings
from wardround.node.training.own import OwnArrays
from wardround.people.acting import Actor
from wardround.people.roster import Roster

log = logging.getLogger(__name__)
Json = dict[str, Any]
_NOTHING_KNOWN, _NOT_UNDERSTOOD = 0x0110, 0xC000
_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_SWAPS_SLICES = "OHIF"
"""How the name of a program begins whose segmentations name the mirrored slice: it writes planes from the top down and
what was drawn from the bottom up, and nothing in the file tells whether it did so this time."""


class AnnotationDesk:
    """Args:
    folder: where labels, weights and files that were sent lie.
    package: where the model package of a digest lies.
    own: what this hospital keeps of runs for itself.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        roster: Roster,
        folder: Path,
        settings: AnnotationSettings,
        package: Callable[[str], Path],
        clock: Clock = now,
        own: OwnArrays | None = None,
    ) -> None:
        self.database = database
        self._settings = settings
        self.origins = settings.origins
        self._clock = clock
        self.largest = settings.largest_mb * 1_000_000
        self.callers = Callers(roster)
        self.tickets = Tickets()
        self.subjects = Subjects(database, objects, settings.modalities, settings.project)
        self.guests = Guests(folder / "guests", settings.guest_hours)
        files = ObjectStore(folder / "labels")
        self.labels = Labels(database, files, objects, clock)
        threads = settings.threads
        self.helping = Worker("helping to draw", threads=threads)
        self.reading = Worker("annotation's files", threads=1)
        self.learning = Worker("annotation's training", threads=threads, nice=10)
        self.training = Training(
            database,
            self.subjects,
            files,
            self.learning,
            folder / "training",
            readers=settings.readers,
            threads=threads,
            clock=clock,
        )
        self._overlaps: dict[tuple[str, str], float] = {}
        self.helpers = Helpers(database, package, own)
        self.inference = Inference(
            database,
            self.subjects,
            self.guests,
            self.helpers,
            self.helping,
            lambda: self.training.network,
            label=settings.label,
            threads=threads,
        )

    def start(self) -> None:
        """Files that were sent to a program that ended are nobody's."""
        self.guests.begin()

    def stop(self) -> None:
        for worker in (self.helping, self.reading, self.learning):
            worker.stop()

    def info(self) -> Json:
        """What is here. Nothing that a model does is waited for."""
        label = self._settings.label
        return {
            "name": "Wardround",
            "description": "Annotation of this hospital's de-identified images",
            "version": wardround.__version__,
            "labels": [label],
            "models": {name: helper.told(label) for name, helper in self.helpers.listed().items()},
            "trainers": {CLICKS: {"description": "Train the clicks on the labels of this hospital", "config": {}}},
            "strategies": {name: {"description": one.words} for name, one in STRATEGIES.items()},
            "scoring": {},
            "train_stats": {},
            "datastore": stats(self.database, self.subjects, self._settings.readers),
        }

    def take(self, strategy: str, actor: Actor) -> Subject | None:
        """Give a person the next case, and hold it for them; None where none is left. Raises `NotFound`: no such
        strategy."""
        return self._give(self.subjects.listed(), strategy, strategy_of(strategy), actor)

    def take_case(self, series: str, actor: Actor) -> Subject:
        """Give a person this very case, unless they have it already or drew it.

        Raises:
            NotFound: it isn't here.
            Conflict: somebody else has it, or it is drawn.
        """
        subject = self.subjects.find(series)
        with self.database.reading() as session:
            if sittings.has(session, series, actor=actor):
                return subject
            sittings.check_free(session, series, self._settings.readers, actor=actor)
        if self._give([subject], "chosen", CHOSEN, actor) is None:
            raise Conflict("somebody else took this case at the same moment; take another one")
        return subject

    def _give(self, subjects: Sequence[Subject], name: str, strategy: Strategy, actor: Actor) -> Subject | None:
        rules = Rules(self._settings.readers, timedelta(minutes=self._settings.hold_minutes))
        return sittings.take(self.database, subjects, name, strategy, rules, actor=actor, clock=self._clock)

    def give_back(self, actor: Actor) -> None:
        """What a person holds is offered to others at once."""
        sittings.give_back(self.database, actor=actor, clock=self._clock)

    def agreements(self, series: Collection[str]) -> Sequence[Agreement]:
        """As `told.agreements`, of these alone; worked out once in a process of its own, since labels never change."""
        return agreements(self.database, self._overlap, series)

    def _overlap(self, one: str, other: str) -> float:
        if (one, other) not in self._overlaps:
            files = self.labels.files
            self._overlaps[one, other] = self.reading.call(work.overlap, files.get(one), files.get(other))
        return self._overlaps[one, other]

    def next_case(self, strategy: str, actor: Actor) -> Json:
        """The next case as clients are told of it; empty where none is left. Its `id` has a one-time ticket in it."""
        chosen = self.take(strategy, actor)
        if chosen is None:
            return {}
        return {
            "id": self.tickets.name(chosen.series, actor),
            "name": f"{chosen.series}{NIFTI_GZ}",
            "ts": int(self._clock().timestamp()),
            **image_info(chosen),
        }

    def datastore(self, output: str) -> Json:
        if output == "all":
            return listing(self.database, self.subjects.listed())
        return stats(self.database, self.subjects, self._settings.readers)

    def image(self, name: str, actor: str, *, only_there: bool = False) -> tuple[str, bytes]:
        """An image's file and its name; nothing is made where it is only asked for being there.

        Raises `NotFound`, `NotAnnotated`.
        """
        series = series_of(name)
        if not self.subjects.holds(series):
            guest = self.guests.find(actor, series)
            return guest.name, b"" if only_there else guest.path.read_bytes()
        source = Source(self.subjects.files(series).paths)
        if only_there:
            return f"{series}{NIFTI_GZ}", b""
        with self.database.writing() as session:
            audit.record(session, actor, "view-image", series, clock=self._clock)
        return f"{series}{NIFTI_GZ}", self.reading.call(work.image, source)

    def image_info(self, name: str) -> Json:
        return image_info(self.subjects.find(series_of(name)))

    def save(self, actor: str, name: str, tag: str, params: Mapping[str, Any], sent: FormFile) -> AnnotationLabel:
        """Keep a label of an image of the enclave. Raises `NotFound`, `NotAnnotated`."""
        subject = self._subject(name)
        model = params.get("model")
        helped = self._helped(actor, subject, model if isinstance(model, str) else "")
        source = Source(self.subjects.files(subject.series).paths)
        drawn = self.reading.call(work.kept, source, sent.name, sent.data, helped, self._settings.label)
        note = params.get("note")
        return self.labels.save(
            subject, drawn, actor=actor, tag=tag, model=helped, note=note[:2000] if isinstance(note, str) else ""
        )

    def store(self, actor: str, body: bytes, content_type: str) -> tuple[int, Json]:
        """Keep each segmentation of a STOW-RS message (PS3.18 10.5) as a label; the status, and what is told of each.

        Raises `WebFailure`: 400, the message can't be read.
        """
        _, parameters = media_type(content_type)
        reader = PartReader(boundary_of(parameters), largest=self.largest)
        taken: list[Json] = []
        failed: list[Json] = []
        for part in reader.feed(body):
            uids, program = _told_of(part.body)
            try:
                if uids["00081150"]["Value"] != [_SEG]:
                    raise NotAnnotated("only segmentations are kept here")
                if program.startswith(_SWAPS_SLICES):
                    raise NotAnnotated("OHIF's segmentations may lie on the wrong slices; draw it in the node's pages")
                subject = self._subject(self.reading.call(work.segmented_series, part.body))
                source = Source(self.subjects.files(subject.series).paths)
                helped = self._helped(actor, subject, "")
                drawn = self.reading.call(work.kept_of_seg, source, part.body, helped, self._settings.label)
                self.labels.save(subject, drawn, actor=actor, model=helped)
                taken.append(uids)
            except NotFound:
                failed.append(uids | {"00081197": {"vr": "US", "Value": [_NOTHING_KNOWN]}})
            except NotAnnotated:
                failed.append(uids | {"00081197": {"vr": "US", "Value": [_NOT_UNDERSTOOD]}})
        told = {"00081199": {"vr": "SQ", "Value": taken}} if taken else {}
        if failed:
            told["00081198"] = {"vr": "SQ", "Value": failed}
        return (200 if not failed else 202 if taken else 409), told

    def label(self, actor: str, name: str, tag: str) -> tuple[str, bytes]:
        """The label that a person is shown, as a file. Raises `NotFound`."""
        row = self._label(actor, name, tag)
        return f"{row.series}{NIFTI_GZ}", self.labels.files.get(row.nifti)

    def label_info(self, actor: str, name: str, tag: str) -> Json:
        row = self._label(actor, name, tag)
        return {"version": row.version, "author": row.author.removeprefix("person:"), "state": row.state}

    def session_info(self, guest: Guest) -> Json:
        return {
            "name": guest.name,
            "path": "",
            "image": guest.name,
            "meta": {},
            "create_ts": int(guest.made),
            "last_access_ts": int(self.guests.used(guest)),
            "expiry": int(guest.expiry),
        }

    def look_at_images(self, most: int = 4) -> int:
        """Work out what strategies go by for images of which it isn't known, or of which the network was trained since;
        returns how many."""
        network = self.training.network
        model = f"clicks {network.stat().st_mtime_ns}" if network is not None else ""
        with self.database.reading() as session:
            looked_with = {
                row.series: row.model for row in session.execute(select(AnnotationTrait.series, AnnotationTrait.model))
            }
        done = 0
        for subject in self.subjects.listed():
            if done >= most:
                break
            if looked_with.get(subject.series) == model:
                continue
            files = self.subjects.files(subject.series)
            source = Source(files.paths)
            look, doubt = self._look(source, network)
            with self.database.writing() as session:
                session.merge(
                    AnnotationTrait(
                        series=subject.series,
                        pseudonym=subject.pseudonym,
                        digest=files.digest,
                        look=look,
                        doubt=doubt,
                        model=model,
                        made_at=self._clock(),
                    )
                )
            done += 1
        return done

    def _look(self, source: Source, network: Path | None) -> tuple[list[float], float | None]:
        """What is worked out of an image; nothing of one that ends the process, so that it holds up no other."""
        try:
            look = self.reading.call(work.look, source)
            doubt = self.reading.call(work.doubt, source, network, 1) if network is not None and look else None
        except WorkerDied:
            log.warning("an image can't be looked at: the process died of it")
            return [], None
        return look, doubt

    def _subject(self, name: str) -> Subject:
        try:
            return self.subjects.find(series_of(name))
        except NotFound:
            raise NotFound(
                "labels are kept of images of the enclave alone; send the image to the node by DICOM"
            ) from None

    def _helped(self, actor: str, subject: Subject, told: str) -> str:
        with self.database.reading() as session:
            sitting = sittings.current(session, actor, subject.series)
        return (told or (sitting.model if sitting else ""))[:64]

    def _label(self, actor: str, name: str, tag: str) -> AnnotationLabel:
        subject = self.subjects.find(series_of(name))
        return self.labels.newest(subject.series, tag or FINAL, actor=actor, readers=self._settings.readers)


def _told_of(part10: bytes) -> tuple[Json, str]:
    """The SOP class and instance of a stored object, and the program that wrote it, as far as it tells them."""
    from io import BytesIO

    import pydicom

    from wardround.dicom.damage import DAMAGE

    try:
        header = pydicom.dcmread(
            BytesIO(part10), stop_before_pixels=True, specific_tags=["SOPClassUID", "SOPInstanceUID"]
        )
        kind, uid = str(header.get("SOPClassUID", "")), str(header.get("SOPInstanceUID", ""))
        program = str(header.file_meta.get("ImplementationVersionName", ""))
    except DAMAGE:
        kind, uid, program = "", "", ""
    return {"00081150": {"vr": "UI", "Value": [kind]}, "00081155": {"vr": "UI", "Value": [uid]}}, program
