"""The series that results are made of, so that each of them needn't read, order and copy it anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pydicom.dataset import Dataset

from wardround.dicom.source_header import header_of
from wardround.dicom.volume import Grid, Stacked, Volume
from wardround.dicom.volume_refusal import Source, open_instance

_PLACING = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""What a result takes of each image beyond the first: which it is, where it lies, and whether it lost something."""

_LONG = 1 << 16
"""Bytes; nothing but pixels, and what is drawn over them, is longer."""


class SourceSeries:
    """The images of one regular series in the order of its slices, each part made when it is first asked for: pixels
    are read of a file for `volume` alone.

    Raises:
        VolumeRefused: an image can't be opened; from the parts, as `read_volume` under `STRICT`.
    """

    def __init__(self, instances: Sequence[Source]) -> None:
        self._opened = [open_instance(one, later=_LONG) for one in instances]

    @classmethod
    def of(cls, instances: Sequence[Source] | SourceSeries) -> SourceSeries:
        """These images; a series that is one already stays what it is."""
        return instances if isinstance(instances, SourceSeries) else cls(instances)

    @cached_property
    def _stacked(self) -> Stacked:
        return Stacked.of(self._opened)

    @cached_property
    def volume(self) -> Volume:
        return self._stacked.volume()

    @property
    def grid(self) -> Grid:
        return self._stacked.grid

    @cached_property
    def datasets(self) -> list[Dataset]:
        """The images themselves."""
        return self._stacked.ordered

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        return self.grid.shape

    @cached_property
    def headers(self) -> list[Dataset]:
        """The first image's header whole, as results take it over, and of the others what places them."""
        first, *others = self.datasets
        return [header_of(first), *map(_placing, others)]


def stands_for(headers: Sequence[Dataset]) -> Dataset:
    """Of a series' images, in the order of its slices, the one that results name or show for all: the middle one."""
    return headers[len(headers) // 2]


def _placing(ds: Dataset) -> Dataset:
    header = Dataset()
    for keyword in _PLACING:
        if keyword in ds:
            header[keyword] = ds[keyword]
    return header
