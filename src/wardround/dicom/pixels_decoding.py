"""Which decoder is trusted with pixels from outside: a damaged stream may crash one that is written in C++."""

from __future__ import annotations

from functools import cache

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

_PREFERRED = ("pydicom", "pyjpegls", "pylibjpeg", "pillow", "gdcm")
"""GDCM last: it ends the process on some damaged JPEG-LS, and is the only one that reads lossless JPEG."""


@cache
def decoder_for(transfer_syntax: str) -> str:
    """The name of pydicom's plug-in for a compressed transfer syntax; empty where none is needed or there is none."""
    try:
        available = get_decoder(UID(transfer_syntax)).available_plugins
    except NotImplementedError:
        return ""
    return next((name for name in _PREFERRED if name in available), "")
