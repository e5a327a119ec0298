"""De-identify a folder, a file or a zip into another folder: in processes, resumable, telling nothing identifying.

The result lies under its new UIDs, ``<study>/<series>/<instance>.dcm``. What a person must look at lies apart, under
``review``, its header clean but its pixels as they were. A journal in the folder says what was done to which source,
by keyed digests instead of names, so that a run that was stopped goes on where it was. Where the profile removes faces,
objects wait in a hidden folder until their whole series is there, and only then come to the others.
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from wardround.dicom.confidentiality import Profile, rules
from wardround.dicom.confidentiality_profile import Option
from wardround.dicom.damage import DAMAGE
from wardround.dicom.deidentify import SOFTWARE, Deidentifier
from wardround.dicom.deidentify_original import Original
from wardround.dicom.deidentify_sources import Source, Unreadable, sources
from wardround.dicom.errors import FolderRefused, Reason, Refused
from wardround.dicom.pixels_defacing_folder import deface_folder
from wardround.dicom.pixels_facts import facts_of
from wardround.dicom.pixels_redaction import redacted
from wardround.dicom.pixels_screening import Screener, Verdict
from wardround.dicom.statement import Deidentified, PixelWork

log = logging.getLogger(__name__)

JOURNAL = "deid-journal.jsonl"
REVIEW = "review"
STAGED = ".with-faces"
UNREADABLE = "unreadable"
FAILED = "deidentification-failed"
CONFLICT = "conflicting-content"
_BATCH = 8
_BREAKS: tuple[type[Exception], ...] = (*DAMAGE, MemoryError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one source: ``done``, ``waiting`` (for a person) or ``refused``, with reasons as codes."""

    key: str
    became: str
    reasons: tuple[str, ...] = ()
    patient: str = ""
    study: str = ""
    series: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class FolderReport:
    """A run in numbers. ``earlier`` is how many sources were done by the run that this one goes on with;
    ``defaced`` and ``unclear`` count series whose faces were removed, or weren't found: these lie under review."""

    profile: str
    profile_digest: str
    options: tuple[str, ...]
    edition: str
    software: str
    found: int = 0
    earlier: int = 0
    done: int = 0
    waiting: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    patients: set[str] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)
    series: set[str] = field(default_factory=set)
    actions: Counter[str] = field(default_factory=Counter)
    reads_text: bool = True
    defaced: int = 0
    unclear: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        if outcome.became == "refused":
            self.refused[outcome.reasons[0]] += 1
            return
        if outcome.became == "waiting":
            self.waiting[outcome.reasons[0]] += 1
        else:
            self.done += 1
        self.patients.add(outcome.patient)
        self.studies.add(outcome.study)
        self.series.add(outcome.series)
        self.actions.update(outcome.counts)

    def document(self) -> dict[str, Any]:
        """As JSON, with nothing of the originals in it."""
        return {
            "profile": self.profile,
            "profile_digest": self.profile_digest,
            "options": list(self.options),
            "edition": self.edition,
            "software": self.software,
            "found": self.found,
            "earlier": self.earlier,
            "done": self.done,
            "waiting": dict(sorted(self.waiting.items())),
            "refused": dict(sorted(self.refused.items())),
            "patients": len(self.patients),
            "studies": len(self.studies),
            "series": len(self.series),
            "series_defaced": self.defaced,
            "series_unclear": dict(sorted(self.unclear.items())),
            "actions": dict(sorted(self.actions.items())),
        }


class Worker:
    """De-identifies one source at a time into ``out``; may be pickled to a process."""

    def __init__(self, profile: Profile, secret: bytes, out: Path, screens: bool) -> None:
        self._profile = profile
        self._secret = secret
        self._out = out
        self._screens = screens
        self._start()

    def __getstate__(self) -> tuple[Profile, bytes, Path, bool]:
        return self._profile, self._secret, self._out, self._screens

    def __setstate__(self, state: tuple[Profile, bytes, Path, bool]) -> None:
        self._profile, self._secret, self._out, self._screens = state
        self._start()

    def _start(self) -> None:
        self._deidentifier = Deidentifier(self._profile, self._secret)
        defaces = Option.CLEAN_VISUAL_FEATURES in self._profile.options
        self._screener = Screener(deface=defaces)
        self._done = self._out / STAGED if defaces else self._out

    def do(self, source: Source) -> Outcome:
        """What became of ``source``; never an error, but for those of the disk that is written to."""
        key = digest(self._secret, source.key)
        try:
            data = source.read()
        except Unreadable:
            return Outcome(key, "refused", (UNREADABLE,))
        try:
            one, waits_for = self._clean(data)
        except Refused as refused:
            return Outcome(key, "refused", (refused.reason_code,))
        except _BREAKS as damage:
            log.error("an object could not be de-identified: %s", type(damage).__name__)
            return Outcome(key, "refused", (FAILED,))
        if not self._put(one, waiting=bool(waits_for)):
            return Outcome(key, "refused", (CONFLICT,))
        became = "waiting" if waits_for else "done"
        return Outcome(key, became, waits_for, one.pseudonym, one.study_uid, one.series_uid, one.statement.counts)

    def _clean(self, data: bytes) -> tuple[Deidentified, tuple[str, ...]]:
        """The de-identified object and why a person must look at it, if one must."""
        original = Original.read(data)
        if not self._screens:
            return self._deidentifier.deidentify(original), ()
        facts = facts_of(original)
        screening = self._screener.by_header(facts)
        pending: Deidentified | None = None
        if screening is None:
            # What is refused by its header needs no reading of its pixels.
            pending = self._deidentifier.deidentify(original, PixelWork(pending=True))
            screening = self._screener.by_reading(data, facts, pending.identity)
        if screening.verdict is Verdict.UNCERTAIN:
            return pending or self._deidentifier.deidentify(original, PixelWork(pending=True)), screening.reasons
        if screening.verdict is Verdict.REFUSED:
            self._deidentifier.deidentify(original, PixelWork(pending=True))
            raise Refused(Reason.TEXT_IN_PIXELS, "the pixels can't be made safe")
        boxes = screening.boxes if screening.verdict is Verdict.REDACT else ()
        work = PixelWork(screened=True, cleaned=bool(boxes))
        return redacted(self._deidentifier.deidentify(original, work), boxes), ()

    def _put(self, one: Deidentified, waiting: bool) -> bool:
        """Write the object under its new UIDs; false if another one is there."""
        folder = (self._out / REVIEW if waiting else self._done) / one.study_uid / one.series_uid
        path = folder / f"{one.sop_uid}.dcm"
        if path.exists():
            return path.read_bytes() == one.data
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f".{secrets.token_hex(8)}"
        aside.write_bytes(one.data)
        os.replace(aside, path)  # noqa: PTH105 - one rename, atomic on POSIX
        return True


def deidentify_folder(
    source: Path,
    out: Path,
    *,
    profile: Profile,
    secret: bytes,
    processes: int = 1,
    screens: bool = True,
    progress: Callable[[int, int], None] = lambda done, found: None,
) -> FolderReport:
    """De-identify all that is in ``source`` into ``out``.

    Args:
        source: a folder, a file or a zip; zips in a folder are opened too.
        out: a folder that is absent, empty, or holds an earlier run with the same profile and secret, which goes on.
        processes: how many work at once; 1 works in this one.
        screens: whether pixels are looked at; if not, classes that need it are refused.
        progress: told how many sources are through, of how many.

    Raises:
        FolderRefused: ``out`` holds something else, or lies in ``source``; or ``source`` can't be read.
        OSError: ``out`` can't be written.
    """
    try:
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise FolderRefused("the output lies inside the input; name a folder beside it")
        found = list(sources(source))
    except OSError as error:
        raise FolderRefused(f"the input can't be read: {error.strerror}; correct the path") from None
    worker = Worker(profile, secret, out, screens)
    report = _empty_report(profile, len(found))
    report.reads_text = not screens or Screener().ready()
    with closing(_Journal(out, profile, secret)) as journal:
        for outcome in journal.earlier.values():
            report.add(outcome)
        left = [one for one in found if digest(secret, one.key) not in journal.earlier]
        report.earlier = len(found) - len(left)
        through = report.earlier
        progress(through, len(found))
        for outcomes in _work(worker, left, processes):
            journal.write(outcomes)
            for outcome in outcomes:
                report.add(outcome)
            through += len(outcomes)
            progress(through, len(found))
    if (out / STAGED).is_dir():
        _deface(out, report)
    return report


def _deface(out: Path, report: FolderReport) -> None:
    """Take the faces off what is staged, and let it join the rest; what is unclear goes to whom reviews."""
    faces = deface_folder(out / STAGED, out / REVIEW)
    report.defaced = faces.defaced
    report.unclear.update(faces.unclear)
    for file in sorted((out / STAGED).rglob("*.dcm")):
        place = out / file.relative_to(out / STAGED)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)  # noqa: PTH105 - one rename, atomic on POSIX
    shutil.rmtree(out / STAGED)


def digest(secret: bytes, text: str) -> str:
    """A keyed digest, which names nothing to whoever lacks the secret."""
    return hmac.digest(secret, f"wardround deid source {text}".encode("utf-8", "surrogateescape"), "sha256")[:16].hex()


class _Journal:
    """What was done so far, one JSON line each; the first says with which profile and secret."""

    def __init__(self, out: Path, profile: Profile, secret: bytes) -> None:
        path = out / JOURNAL
        head = {"profile": profile.digest, "software": SOFTWARE, "check": digest(secret, "check")}
        self.earlier: dict[str, Outcome] = {}
        whole = 0
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            whole = self._read(lines, head)
        elif out.exists() and any(out.iterdir()):
            raise FolderRefused("the output folder isn't empty, and holds no earlier run; name an empty one")
        out.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("a", encoding="utf-8")
        # A line that a crash cut short is written over.
        self._file.truncate(whole)
        if not whole:
            self._file.write(json.dumps(head) + "\n")
            self._file.flush()

    def _read(self, lines: list[bytes], head: dict[str, str]) -> int:
        """Take in the lines of an earlier run; how many bytes of them are whole."""
        whole = 0
        for at, line in enumerate(lines):
            if not line.endswith(b"\n"):
                break
            try:
                told = json.loads(line)
                if at == 0:
                    if told != head:
                        raise FolderRefused(
                            "the output folder holds a run with another profile, secret or version; name another folder"
                        )
                else:
                    outcome = Outcome(**{**told, "reasons": tuple(told["reasons"])})
                    self.earlier[outcome.key] = outcome
            except (ValueError, KeyError, TypeError):
                raise FolderRefused("the journal in the output folder is damaged; name another folder") from None
            whole += len(line)
        return whole

    def write(self, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            line = {name: getattr(one, name) for name in Outcome.__slots__}
            self._file.write(json.dumps(line | {"counts": dict(one.counts)}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _empty_report(profile: Profile, found: int) -> FolderReport:
    return FolderReport(
        profile=profile.name,
        profile_digest=profile.digest,
        options=tuple(meaning for _, meaning in profile.codes),
        edition=rules(profile).edition,
        software=SOFTWARE,
        found=found,
    )


_worker: list[Worker] = []


def _begin(worker: Worker) -> None:
    _worker[:] = [worker]


def _do(batch: list[Source]) -> list[Outcome]:
    return [_worker[0].do(one) for one in batch]


def _work(worker: Worker, left: list[Source], processes: int) -> Iterator[list[Outcome]]:
    if processes <= 1:
        for one in left:
            yield [worker.do(one)]
        return
    batches = iter([left[at : at + _BATCH] for at in range(0, len(left), _BATCH)])
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(worker,)) as pool:
        running: set[Future[list[Outcome]]] = {pool.submit(_do, one) for one in islice(batches, 2 * processes)}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
            running |= {pool.submit(_do, one) for one in islice(batches, len(ended))}
