"""Each reason why something isn't taken, isn't used or waits, in plain words with what to do about it.

One table for whoever shows a count: `explained(code)`. It names the codes of the whole way in (the door, imports,
de-identification, screening, the index of the enclave) and of what can't be used for learning.
"""

from __future__ import annotations

from collections.abc import Mapping

from wardround.node.receive.landing import Answer

AGAIN = "have the sender store it again"

ANSWERS: Mapping[Answer, str] = {
    Answer.STORED: "on disk, or here already with the same content",
    Answer.NOT_AUTHORISED: "no rule takes it, or a rule discards it; see the rules and the called title",
    Answer.NO_ROOM: "no room on the disk, or the database doesn't answer; mend that, then send it again",
    Answer.OTHER_INSTANCE: "its header names another object than it is; export it anew",
    Answer.NOT_UNDERSTOOD: "it can't be read as a DICOM object; export it anew",
    Answer.OTHER_CONTENT: "an object of this UID with other content is here; this one is kept apart in quarantine",
}
"""What a sender hears, by its status."""

_AT_THE_DOOR = {
    "not-routed": "no rule takes it; add a rule to routes.toml, or send it to another title",
    "discarded-by-rule": "a rule of routes.toml discards it; nothing is kept of it",
    "conflicting-content": "another content is here under the same UID; find out at the PACS which one is right",
    "uid-missing": f"it lacks one of its four UIDs, or one is too long; {AGAIN}, corrected",
    "uid-mismatch": "it was announced under another SOP Instance UID than it has; correct the sender",
    "class-mismatch": "it was announced as another SOP class than it has; correct the sender",
    "not-part10": "no DICOM file (PS3.10); nothing to do if it needn't be one, else export it anew",
    "malformed": f"its bytes contradict the standard; {AGAIN}, or export it anew",
    "unknown": "refused before reasons were kept",
}
_TURNED_AWAY = {
    "index-behind": "the database kept up too slowly; the sender tries again; if it goes on, look at disk and database",
    "index-unavailable": "the database didn't answer; start it, or see what locks it; the sender tries again",
    "disk-reserve": "less was free than reserve_mb keeps free; make room on the disk, then have it sent again",
    "disk-error": "the disk is full or failed; see the system's log, then have it sent again",
    "enclave-over-quota": "the enclave is at its quota; raise quota_gb or purge, then have it sent again",
    "enclave-below-reserve": "too little is free on the enclave's disk; make room, then have it sent again",
    "receiver-ended": "a receiving process ended and was started again; senders try again; if it recurs, see the log",
    "not-whole": "it ended in the middle: the sender broke off or the connection did; the sender tries again",
}
_IMPORTS = {
    "dicomdir": "a DICOMDIR, the list of contents of a medium; the objects that it lists are taken by themselves",
    "no-such-path": "nothing is there; correct the path",
    "link-not-followed": "a symbolic link, which isn't followed; name its target if that is wanted",
    "not-a-file": "a device, pipe or socket; nothing to do",
    "file-unreadable": "it can't be read; give the account that runs this the right to, or see the system's log",
    "zip-damaged": "the zip, or this file in it, is damaged; fetch or make it again",
    "zip-encrypted": "it needs a password; unpack it first and name the folder",
    "zip-unsafe-name": "its name would lead out of the folder it is unpacked to; unpack it with care and look at it",
    "zip-too-deep": "too many zips within each other; unpack the outer ones and name the folder",
    "zip-too-many": "the zip holds too many files; unpack it and name the folder",
    "zip-too-large": "it would unpack to far more than it is, as a zip bomb does; unpack it yourself if you trust it",
    "zip-no-space": "no room on the disk to open a zip within a zip; make room, then run it again",
}
_DEIDENTIFICATION = {
    "transfer-syntax": "its transfer syntax isn't known here; have the PACS send another one",
    "sop-class": "objects of this kind aren't taken for research; nothing to do",
    "sop-class-unknown": "an SOP class that the standard doesn't name; nothing to do, or ask for it to be added",
    "structured-report": "a structured report: free text about a person; not taken for research",
    "presentation-state": "a presentation state may hold text about a person; not taken for research",
    "encapsulated-document": "a document (PDF, CDA, …) within DICOM; not taken for research",
    "waveform": "a waveform; not taken for research",
    "spectroscopy": "spectroscopy data; not taken for research",
    "measurement": "an ophthalmic or other measurement; not taken for research",
    "radiotherapy-record": "a record of treatment; not taken for research",
    "photograph": "a photograph may show who it is; not taken for research",
    "audio": "audio may tell who it is; not taken for research",
    "video": "a video may show who it is; not taken for research",
    "surface-scan": "a scan of the body's surface may show who it is; not taken for research",
    "raw-data": "raw data, which nobody can search for names; not taken for research",
    "pixels-not-screened": "its pixels weren't looked at; turn screening on in the profile",
    "burned-in-annotation": "it says that its pixels hold text about the patient; have a person review such images",
    "screen-capture": "a picture of a screen, which may show a name; have a person review such images",
    "overlay-in-pixels": "graphics lie in unused bits of its pixels; have the PACS send overlays by themselves",
    "pixel-length": f"it has fewer or more pixel bytes than its header says; {AGAIN}",
    "text-in-pixels": "text was found in its pixels; see wardround deid review",
    "identity-missing": "it doesn't say whose it is (no Patient ID); correct it at the PACS, then send it again",
    "identity-remains": "after de-identification an identifier was still in it; tell whoever keeps this program",
    "too-large": "larger than what is de-identified here; nothing to do, or have it sent in parts",
    "file-missing": "its file is gone from quarantine; have it sent again, and find out who removed it",
    "deidentification-failed": "it broke the de-identifier, and was kept apart; tell whoever keeps this program",
    "deidentification-too-slow": "it took longer than seconds_per_object allows; raise that, or leave it",
    "deidentification-crashed": "it ended the process that read it, more than once; tell whoever keeps this program",
    "opted-out": "the patient opted out of research; only the fact is kept",
    "refused-in-review": "a person refused its pixels in review; nothing to do",
    "unreadable-header": "the header that says what its pixels show can't be read; have a person review it",
    "identifier-in-pixels": "a name or number of the patient was read in its pixels; see wardround deid review",
    "recognizable-visual-features": "it says that its pixels show who it is (a face); see wardround deid review",
    "annotation-area": "text may be in an area where this device writes it; see wardround deid review",
    "pixels-undecodable": f"its pixels can't be decoded to be looked at; {AGAIN}, in another transfer syntax",
    "text-reader-missing": "no text could be read in its pixels; install tesseract",
    "text-reader-failed": "reading text in its pixels failed; see the log, or review it by hand",
    "not-indexable": f"its attributes can't be read back for the index; {AGAIN}, corrected",
    "study-of-another-patient": "its study is in the enclave under another patient; correct that at the PACS",
    "series-of-another-study": "its series is in the enclave under another study; correct that at the PACS",
}
_LEARNING = {
    "no-instances": "the series has no image; nothing to do",
    "unreadable": "an object of the series can't be read; have the series sent again",
    "multi-frame": "multi-frame objects of this kind can't be made one volume here; nothing to do",
    "missing-geometry": "images lack position, orientation or spacing; nothing to do, unless the PACS has them",
    "invalid-geometry": "position, orientation or spacing are no true numbers; correct them at the PACS",
    "mixed-series": "its images are of several series; nothing to do",
    "mixed-frame-of-reference": "its images don't share one frame of reference; nothing to do",
    "mixed-orientation": "its images lie in several directions, as localizers do; nothing to do",
    "mixed-size": "its images differ in rows and columns; nothing to do",
    "mixed-spacing": "its images differ in the spacing of pixels; nothing to do",
    "duplicate-instance": "one image is in it twice; have the series sent again",
    "duplicate-position": "several images lie at one place (several phases or echoes); nothing to do",
    "uneven-spacing": "the distance between slices varies; nothing to do",
    "missing-slices": "slices are missing in between; have the PACS send the whole series",
    "several-volumes": "it holds several volumes; nothing to do",
    "sheared": "its slices are shifted against each other; nothing to do",
    "colour": "its images are in colour; nothing to do",
    "unsupported-pixels": "its pixels are of a form that isn't read here; have another transfer syntax sent",
    "object-missing": "an object of the case is lost; restore the enclave from a backup",
    "object-damaged": "an object of the case is damaged; restore the enclave from a backup",
    "case-gone": "the series is no longer in the enclave; nothing to do",
    "case-changed": "the series grew or changed after the cohort was frozen; freeze it anew with another approval",
    "label-unreadable": "the segmentation can't be read; have it sent again",
    "label-not-binary-segmentation": "the segmentation isn't a binary one; have it exported as such",
    "label-unsupported-encoding": "the segmentation is encoded in a way that isn't read here; export it anew",
    "label-no-such-segment": "the segmentation lacks the segment; export it anew",
    "label-several-segments": "the segmentation has several segments where one is wanted; export them one by one",
    "label-referenced-series-unclear": "the segmentation doesn't say which one series it was drawn on; export it anew",
    "label-other-series": "the segmentation was drawn on another series; send it with that one",
    "label-other-size": "the segmentation's rows and columns aren't its series'; export it anew",
    "label-other-grid": "the segmentation doesn't lie on its series' grid; export it anew",
    "label-unmatched-frame": "a frame of the segmentation lies on no slice; send the whole series",
}
_FACES = {
    f"face-{code}": f"its face can't be removed, since {words}"
    for code, words in _LEARNING.items()
    if not code.startswith(("label-", "case-", "object-"))
} | {
    "face-no-head": "the header says head, and no head is found in the series, so that no face can be removed",
    "face-not-a-head": "the header says head, and nothing of a head's size is in the series; its face can't be removed",
    "face-top-of-head-missing": "too much of the top of the head is missing for its face to be removed",
    "face-multi-frame": "a multi-frame object may show a face, which can't be removed from it; have slices sent",
    "face-late": "a slice that may show a face came after its series was done; a longer quiet_seconds waits longer",
    "face-unclear": "it may be a head, and its face wasn't found; a person decides: wardround deid review",
}

WORDS: Mapping[str, str] = _AT_THE_DOOR | _TURNED_AWAY | _IMPORTS | _DEIDENTIFICATION | _LEARNING | _FACES
"""Reason code to what it means and the mend."""


def explained(code: str) -> str:
    """The code with its words, or the code alone where it has none."""
    return f"{code}: {WORDS[code]}" if code in WORDS else code
