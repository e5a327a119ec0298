"""De-identify one DICOM object, or refuse it.

Implements PS3.15 Annex E (Basic Application Level Confidentiality Profile with the options of a
:class:`~wardround.dicom.confidentiality.Profile`) on the bytes of a Part 10 file: through every sequence, with
keyed UIDs and pseudonyms and dates moved per patient, without decoding or re-encoding pixel data. What isn't
known to be safe is removed; what can't be made safe is refused. The result is searched for the original identity
before it is handed out.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from wardround import __version__
from wardround.dicom.confidentiality import BASIC_CODE, Action, Option, Profile, rules
from wardround.dicom.confidentiality_classes import Fate, Pixels, class_decision
from wardround.dicom.confidentiality_profile import PIXEL_OPTIONS
from wardround.dicom.deidentify_charset import decoded
from wardround.dicom.deidentify_clean import Cleaner
from wardround.dicom.deidentify_dates import age_between
from wardround.dicom.deidentify_elements import (
    PIXEL_DATA,
    Element,
    ElementWriter,
    Encoding,
    malformed,
)
from wardround.dicom.deidentify_original import NATIVE, Original
from wardround.dicom.errors import Reason, Refused
from wardround.dicom.header_meta import file_meta
from wardround.dicom.pseudonym import PseudonymKeys
from wardround.dicom.statement import Deidentified, Identity, PixelWork, Statement

SOFTWARE = f"Wardround {__version__}"

_CHARSET = 0x00080005
_IMAGE_TYPE = 0x00080008
_SOP_CLASS = 0x00080016
_SOP_INSTANCE = 0x00080018
_STUDY_DATE = 0x00080020
_ACCESSION = 0x00080050
_NAME = 0x00100010
_PATIENT_ID = 0x00100020
_ISSUER = 0x00100021
_BIRTH_DATE = 0x00100030
_AGE = 0x00101010
_STUDY = 0x0020000D
_SERIES = 0x0020000E
_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS = 0x00280002, 0x00280008, 0x00280010, 0x00280011, 0x00280100
_BURNED_IN, _RECOGNISABLE = 0x00280301, 0x00280302
_PIXEL_BITS = {PIXEL_DATA: 0, 0x7FE00008: 32, 0x7FE00009: 64}


class Deidentifier:
    """De-identifies objects of one site.

    Args:
        profile: which options of PS3.15 Annex E apply; :meth:`Profile.research` for the enclave.
        secret: the site's pseudonym secret, at least 16 bytes; the same secret gives the same pseudonyms.
        home_issuer: the issuer of the hospital's own patient ids. An object that names no issuer means this one, so
            that an image which names it and a segmentation which doesn't are of one patient.

    An instance may be shared by threads.
    """

    def __init__(self, profile: Profile, secret: bytes, home_issuer: str = "") -> None:
        self.profile = profile
        self._home_issuer = home_issuer.strip()
        self.keys = PseudonymKeys(secret)
        self._rules = rules(profile)

    def identity(self, source: Path | bytes | BinaryIO | Original) -> Identity:
        """Who a Part 10 file is about, for whoever looks at its pixels before it is de-identified.

        Raises:
            Refused: it isn't readable, or in a transfer syntax that isn't taken.
            OSError: ``source`` is a path or stream that can't be read.
        """
        original = self._read(source)
        return _Facts(original.elements, original.encoding).identity()

    def deidentify(self, source: Path | bytes | BinaryIO | Original, pixels: PixelWork | None = None) -> Deidentified:
        """The de-identified copy of a Part 10 file.

        Args:
            source: the object, or the same once it was read.
            pixels: what was done about its pixels. Without it, a class whose pixels must be looked at is refused.

        Raises:
            Refused: the object can't be made safe, or isn't readable; the reason says which.
            OSError: ``source`` is a path or stream that can't be read.
        """
        original = self._read(source)
        elements, encoding, transfer_syntax = original.elements, original.encoding, original.transfer_syntax
        facts = _Facts(elements, encoding)
        work = pixels or PixelWork()
        self._accept(facts, transfer_syntax, work)

        identity = facts.identity()
        issuer = "" if identity.issuer == self._home_issuer else identity.issuer
        pseudonym = self.keys.patient(identity.patient_id, issuer)
        days = self.keys.days(identity.patient_id, issuer) if self._rules.shifts else 0
        cleaner = Cleaner(self._rules, self.keys, pseudonym, days, encoding.big_endian)
        cleaned = cleaner.clean(elements)
        header = [element for element in cleaned if element.tag not in _PIXEL_BITS]
        picture = [element for element in cleaned if element.tag in _PIXEL_BITS]
        writer = ElementWriter(encoding)
        cleaner.traces.verify(writer.data_set(header))
        for element in picture:
            if element.encapsulated and isinstance(element.value, bytes):
                cleaner.traces.verify_compressed(element.value)

        options = self._applied(work)
        header = self._marked(header, facts, pseudonym, options, work)
        new_uids = {
            tag: uid if self._rules.retains_uids else self.keys.uid(uid)
            for tag, uid in (
                (_STUDY, identity.study_uid),
                (_SERIES, identity.series_uid),
                (_SOP_INSTANCE, identity.sop_uid),
            )
        }
        meta = file_meta(facts.text(_SOP_CLASS), new_uids[_SOP_INSTANCE], transfer_syntax)
        return Deidentified(
            data=b"".join((meta, writer.data_set(header), writer.data_set(picture))),
            pseudonym=pseudonym,
            identity=identity,
            study_uid=new_uids[_STUDY],
            series_uid=new_uids[_SERIES],
            sop_uid=new_uids[_SOP_INSTANCE],
            sop_class_uid=facts.text(_SOP_CLASS),
            transfer_syntax_uid=transfer_syntax,
            statement=Statement(
                profile=self.profile.title,
                options=tuple(sorted(option.meaning for option in options)),
                edition=self._rules.edition,
                software=SOFTWARE,
                counts=dict(sorted(cleaner.counts.items())),
                profile_name=self.profile.name,
                profile_digest=self.profile.digest,
            ),
        )

    def _read(self, source: Path | bytes | BinaryIO | Original) -> Original:
        accepted = self._rules.transfer_syntaxes
        if not isinstance(source, Original):
            return Original.read(_read(source), accepted)
        if source.sent_as not in accepted:
            raise Refused(Reason.TRANSFER_SYNTAX, "the transfer syntax isn't on the list; store it in another one")
        return source

    def _applied(self, work: PixelWork) -> frozenset[Option]:
        """The options that hold for this object: those of the pixels only where something was done to them."""
        done = {Option.CLEAN_PIXEL_DATA: work.cleaned, Option.CLEAN_VISUAL_FEATURES: work.defaced}
        return (self.profile.options - PIXEL_OPTIONS) | {option for option, was_done in done.items() if was_done}

    def _accept(self, facts: _Facts, transfer_syntax: str, work: PixelWork) -> None:
        """Refuse what no cleaning of attributes can make safe."""
        decision = class_decision(facts.text(_SOP_CLASS))
        if decision.fate is Fate.REFUSE:
            raise Refused(
                decision.reason, f"no profile takes this kind of object ({decision.kind}); route it elsewhere"
            )
        if decision.fate is Fate.ACCEPT and decision.kind not in self.profile.accept:
            raise Refused(decision.reason, f"the profile doesn't accept {decision.kind}; route it elsewhere")
        if decision.pixels is not Pixels.TRUSTED and not (work.looked_at or work.pending) and facts.has_pixels():
            raise Refused(
                Reason.PIXELS_NOT_SCREENED, "pixels of this class must be looked at first; have them screened"
            )
        certain = work.cleaned or work.approved or work.pending
        if facts.text(_BURNED_IN).upper() == "YES" and not certain:
            raise Refused(Reason.BURNED_IN, "Burned In Annotation is YES; have the modality store the clean image")
        kinds = {kind.strip().upper() for kind in facts.text(_IMAGE_TYPE).split("\\")}
        if kinds & self._rules.refused_image_types and not certain:
            raise Refused(Reason.SCREEN_CAPTURE, "Image Type says that this is a capture of a screen or a form")
        if not facts.text(_PATIENT_ID):
            raise Refused(Reason.IDENTITY_MISSING, "Patient ID is empty; have the sender fill it in")
        if not all(facts.text(tag) for tag in (_STUDY, _SERIES, _SOP_INSTANCE)):
            raise Refused(Reason.IDENTITY_MISSING, "a UID is missing; have the sender fix it")
        facts.check_overlays()
        facts.check_pixels(transfer_syntax in NATIVE)

    def _marked(
        self, header: list[Element], facts: _Facts, pseudonym: str, options: frozenset[Option], work: PixelWork
    ) -> list[Element]:
        """``header`` with the markers that PS3.15 E.2 and E.3 ask for, in order of tag."""
        dates = b"MODIFIED" if self._rules.shifts else b"UNMODIFIED" if self._rules.dated else b"REMOVED"
        codes = (BASIC_CODE, *sorted((option.code, option.meaning) for option in options))
        present = {element.tag: element for element in header}
        added = [
            Element(0x00120062, b"CS", b"NO" if work.pending else b"YES"),
            Element(0x00120063, b"LO", b"\\".join((SOFTWARE.encode(), self._rules.edition.encode()))),
            Element(0x00120064, b"SQ", [_code(value, meaning) for value, meaning in codes]),
            Element(0x00280303, b"CS", dates),
        ]
        for tag, done in ((_BURNED_IN, work.looked_at), (_RECOGNISABLE, work.defaced)):
            if done:
                present.pop(tag, None)
                added.append(Element(tag, b"CS", b"NO"))
        if _NAME not in present:
            added.append(Element(_NAME, b"PN", pseudonym.encode()))
        age = present.get(_AGE)
        if self._rules.action(_AGE) is Action.AGE and (age is None or not age.value):
            derived = age_between(facts.raw(_BIRTH_DATE), facts.raw(_STUDY_DATE), self._rules.cap_ages)
            if derived is not None:
                present.pop(_AGE, None)
                added.append(Element(_AGE, b"AS", derived))
        return sorted((*present.values(), *added), key=lambda element: element.tag)


class _Facts:
    """The few attributes of the top level that decide."""

    def __init__(self, elements: list[Element], encoding: Encoding) -> None:
        self._elements = {element.tag: element for element in elements}
        self._order = ">" if encoding.big_endian else "<"

    def raw(self, tag: int) -> bytes:
        element = self._elements.get(tag)
        return element.value if element is not None and isinstance(element.value, bytes) else b""

    def text(self, tag: int) -> str:
        return decoded(self.raw(tag).strip(b" \0"), self.raw(_CHARSET)).strip()

    def has_pixels(self) -> bool:
        return any(tag in self._elements for tag in _PIXEL_BITS)

    def number(self, tag: int) -> int | None:
        value = self.raw(tag)
        return int(struct.unpack(self._order + "H", value)[0]) if len(value) == 2 else None

    def identity(self) -> Identity:
        return Identity(
            patient_id=self.text(_PATIENT_ID),
            issuer=self.text(_ISSUER),
            name=self.text(_NAME),
            birth_date=self.text(_BIRTH_DATE),
            accession_number=self.text(_ACCESSION),
            study_uid=self.text(_STUDY),
            series_uid=self.text(_SERIES),
            sop_uid=self.text(_SOP_INSTANCE),
        )

    def check_overlays(self) -> None:
        """Overlays are removed; those that live in unused bits of the pixels can't be."""
        for tag in self._elements:
            if tag >> 24 == 0x60 and tag & 0xFFFF == 0x0102 and self.raw(tag).strip(b"\0"):
                raise Refused(
                    Reason.OVERLAY_IN_PIXELS, "an overlay is stored inside the pixel data; have it stored apart"
                )

    def check_pixels(self, native: bool) -> None:
        """Uncompressed pixel data may hold the picture and nothing behind it (PS3.5 8.1.1)."""
        for tag, fixed_bits in _PIXEL_BITS.items():
            element = self._elements.get(tag)
            if element is None or not isinstance(element.value, bytes):
                continue
            if element.encapsulated is native:
                raise malformed("the pixel data aren't in the form that the transfer syntax says")
            if not native:
                continue
            rows, columns = self.number(_ROWS), self.number(_COLUMNS)
            samples, bits = self.number(_SAMPLES) or 1, fixed_bits or self.number(_BITS)
            frames = self.raw(_FRAMES).strip(b" \0") or b"1"
            if rows is None or columns is None or bits is None or not frames.isdigit():
                raise Refused(Reason.PIXEL_LENGTH, "the picture has no size; Rows or Columns is missing")
            expected = (rows * columns * samples * int(frames) * bits + 7) // 8
            if len(element.value) > expected + expected % 2:
                raise Refused(Reason.PIXEL_LENGTH, "the pixel data are longer than the picture; store it again")


def _code(value: str, meaning: str) -> list[Element]:
    return [
        Element(0x00080100, b"SH", value.encode()),
        Element(0x00080102, b"SH", b"DCM"),
        Element(0x00080104, b"LO", meaning.encode()),
    ]


def _read(source: Path | bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes):
        return source
    return source.read_bytes() if isinstance(source, Path) else source.read()
