"""Private elements that are known to be safe: the Retain Safe Private Option (PS3.15 E.3.10, PS3.5 7.8.1)."""

from __future__ import annotations

from collections.abc import Mapping

from wardround.dicom.deidentify_elements import Element


def safe_elements(
    elements: list[Element], safe: Mapping[tuple[bytes, int], bytes]
) -> tuple[dict[int, bytes], frozenset[int]]:
    """Which private elements of a data set or item are listed as safe, by tag with their value representation; and
    the tags of the private creators that reserve their blocks.

    Args:
        safe: private creator, and group with element (block left out), to value representation.
    """
    creators = {
        element.tag: element.value.strip(b" \0")
        for element in elements
        if element.tag >> 16 & 1 and 0x10 <= element.tag & 0xFFFF <= 0xFF and isinstance(element.value, bytes)
    }
    found: dict[int, bytes] = {}
    used = set()
    for element in elements if creators else ():
        tag = element.tag
        block = tag >> 8 & 0xFF
        if not tag >> 16 & 1 or block < 0x10:
            continue
        creator_tag = tag & 0xFFFF0000 | block
        vr = safe.get((creators.get(creator_tag, b""), tag & 0xFFFF00FF))
        if vr is not None and element.vr in (vr, b"UN"):
            found[tag] = vr
            used.add(creator_tag)
    return found, frozenset(used)
