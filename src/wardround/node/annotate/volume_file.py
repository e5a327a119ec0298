"""Volumes as files of clients: NIfTI-1 and NRRD (http://teem.sourceforge.net/nrrd/format.html), read and written."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wardround.node.annotate.grid import Grid, GridRefused

MOST_VOXELS = 1 << 28
NIFTI, NIFTI_GZ, NRRD = ".nii", ".nii.gz", ".nrrd"
ENDINGS = (NIFTI_GZ, NIFTI, NRRD)
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_TYPES: Mapping[str, str] = {
    "uint8": "u1", "uchar": "u1", "unsigned char": "u1", "uint8_t": "u1",
    "int8": "i1", "signed char": "i1", "int8_t": "i1",
    "short": "i2", "int16": "i2", "int16_t": "i2", "signed short": "i2",
    "ushort": "u2", "uint16": "u2", "uint16_t": "u2", "unsigned short": "u2",
    "int": "i4", "int32": "i4", "int32_t": "i4", "signed int": "i4",
    "uint": "u4", "uint32": "u4", "uint32_t": "u4", "unsigned int": "u4",
    "float": "f4", "double": "f8",
}  # fmt: skip
_SPACES: Mapping[str, tuple[int, int, int]] = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
}  # fmt: skip
_DAMAGE = (OSError, EOFError, ValueError, KeyError, IndexError, zlib.error, OverflowError)


def ending_of(name: str) -> str:
    """Which kind of file a name stands for, by how it ends; empty for none that is read here."""
    lower = name.lower()
    return next((ending for ending in ENDINGS if lower.endswith(ending)), "")


def read_file(data: bytes, name: str) -> Grid:
    """A volume from a file's bytes; which kind it is says its name.

    Raises:
        GridRefused: it is no such file, has not three axes, or is too large.
    """
    ending = ending_of(name)
    if not ending:
        raise GridRefused("a volume comes as .nii, .nii.gz or .nrrd")
    try:
        grid = _read_nrrd(data) if ending == NRRD else _read_nifti(data, ending)
    except _DAMAGE as damage:
        raise GridRefused("the file can't be read as what its name says") from damage
    if not np.isfinite(grid.affine).all() or abs(np.linalg.det(grid.affine)) < 1e-12:
        raise GridRefused("the file doesn't say where its voxels lie")
    return grid


def narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """The same values as 16-bit integers where they are such: half the bytes on the way."""
    whole = np.array_equal(array, np.rint(array)) and np.abs(array).max(initial=0) < 32768
    return array.astype(np.int16) if whole else array


def write_file(grid: Grid, ending: str, *, compressed: bool = False) -> bytes:
    """The bytes of a file that ends so; `compressed` is about NRRD, whose name doesn't say it."""
    return _write_nrrd(grid, compressed) if ending == NRRD else _write_nifti(grid, ending)


def _write_nifti(grid: Grid, ending: str) -> bytes:
    import nibabel  # a third of a second, which the node itself doesn't need

    image = nibabel.Nifti1Image(np.asarray(grid.array).transpose(2, 1, 0), _TO_RAS @ grid.affine[:, [2, 1, 0, 3]])
    image.header.set_xyzt_units("mm")
    plain = bytes(image.to_bytes())
    # The time of compression would make two files of the same voxels differ.
    return gzip.compress(plain, 1, mtime=0) if ending == NIFTI_GZ else plain


def _read_nifti(data: bytes, ending: str) -> Grid:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError
    from nibabel.wrapstruct import WrapStructError

    plain = _inflated(data, zlib.MAX_WBITS | 16) if ending == NIFTI_GZ else data
    try:
        image = nibabel.Nifti1Image.from_bytes(plain)
    except (ImageFileError, HeaderDataError, HeaderTypeError, WrapStructError, TypeError) as damage:
        raise ValueError("no NIfTI-1") from damage
    shape = [int(extent) for extent in image.shape]
    if len(shape) > 3 and set(shape[3:]) == {1}:
        shape = shape[:3]
    _check_shape(shape)
    array = np.asanyarray(image.dataobj).reshape(shape)
    if array.dtype.kind not in "iufb":
        raise ValueError("no volume of numbers")
    affine = (_TO_RAS @ np.asarray(image.affine, np.float64))[:, [2, 1, 0, 3]]
    return Grid(np.ascontiguousarray(array.transpose(2, 1, 0)), affine)


def _write_nrrd(grid: Grid, compressed: bool) -> bytes:
    array = np.ascontiguousarray(grid.array)
    kinds = {"u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32"}
    kinds |= {"f4": "float", "f8": "double"}
    z, y, x = array.shape
    vectors = " ".join(_vector(grid.affine[:3, axis]) for axis in (2, 1, 0))
    lines = [
        "NRRD0004",
        f"type: {kinds[array.dtype.str[1:]]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {x} {y} {z}",
        f"space directions: {vectors}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {'gzip' if compressed else 'raw'}",
        f"space origin: {_vector(grid.affine[:3, 3])}",
    ]
    body = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return ("\n".join(lines) + "\n\n").encode("ascii") + (gzip.compress(body, 1, mtime=0) if compressed else body)


def _read_nrrd(data: bytes) -> Grid:
    end = re.search(rb"\r?\n\r?\n", data[:65536])
    if end is None or not data.startswith(b"NRRD"):
        raise ValueError("no NRRD header")
    fields: dict[str, str] = {}
    for line in data[: end.start()].decode("latin-1").splitlines()[1:]:
        name, mark, value = line.partition(":")
        if mark and not line.startswith("#") and not value.startswith("="):
            fields[name.strip().lower()] = value.strip()
    shape = [int(extent) for extent in fields["sizes"].split()]
    _check_shape(shape)
    if fields.get("data file") or fields.get("datafile"):
        raise ValueError("the voxels are in another file")
    kind = np.dtype(_TYPES[fields["type"].lower()]).newbyteorder(">" if fields.get("endian") == "big" else "<")
    body = data[end.end() :]
    if fields["encoding"].lower() in ("gzip", "gz"):
        body = _inflated(body, zlib.MAX_WBITS | 16)
    elif fields["encoding"].lower() != "raw":
        raise ValueError("an encoding that isn't read")
    array = np.frombuffer(body, kind, count=shape[0] * shape[1] * shape[2]).reshape(shape[::-1])
    vectors = re.findall(r"\(([^)]*)\)", fields["space directions"])
    columns = np.array([[float(number) for number in vector.split(",")] for vector in vectors], np.float64)
    origin = np.array([float(number) for number in fields["space origin"].strip("() ").split(",")], np.float64)
    signs = np.array(_SPACES[fields["space"].lower()], np.float64)
    affine = np.eye(4)
    affine[:3, :3] = (columns * signs).T[:, ::-1]
    affine[:3, 3] = origin * signs
    return Grid(array, affine)


def _check_shape(shape: list[int]) -> None:
    if len(shape) != 3 or min(shape) < 1 or shape[0] * shape[1] * shape[2] > MOST_VOXELS:
        raise GridRefused("a volume has three axes and at most 2^28 voxels")


def _inflated(data: bytes, form: int) -> bytes:
    """Unpacked, but never more than a volume may have: a small file can unpack to a whole disk."""
    unpacker = zlib.decompressobj(form)
    plain = unpacker.decompress(data, MOST_VOXELS * 8)
    if unpacker.unconsumed_tail:
        raise ValueError("it unpacks to more than a volume may have")
    return plain


def _vector(values: NDArray[Any]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"
