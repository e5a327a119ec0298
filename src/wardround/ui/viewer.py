"""What a page hands to the macros of `viewer.html`, which show a volume and what was drawn on it (`viewer.js`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NIFTI = "application/gzip"
LAID_OVER = 6
"""So many colours there are in `viewer.js`."""
WIDENED: Mapping[str, str] = {"img-src": "data:"}
"""For `Shown.widened` of such a page: the letters and the light of NiiVue are pictures within its script."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A mask laid over a volume. `address`: where it is as NIfTI on the volume's grid. `name`: for people."""

    address: str
    name: str


@dataclass(frozen=True, slots=True)
class Viewing:
    """What is shown. `volume`: where it is as NIfTI. `picture`: where a picture of its middle is, for browsers that
    can't draw it. `words`: what it is, for who can't see it. `modality`: as DICOM has it, for the windows of CT."""

    volume: str
    picture: str
    words: str
    modality: str = ""
    overlays: tuple[Overlay, ...] = ()
