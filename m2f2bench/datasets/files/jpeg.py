"""Fast decoding of plain JPEG files, with the pixels that Pillow gives.

Nearly all crops of faces are such files: one scan of all components, no restarts, no metadata that could turn the
picture. simplejpeg decodes them in less than Pillow's time, and reports what its libjpeg-turbo only warns of; Pillow
hides these warnings. Every other file, and every file with a warning, is left to `damage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import simplejpeg

from .damage import Layout

if TYPE_CHECKING:
    from ...core.records import Image

_SEQUENTIAL = (0xC0, 0xC1)
"""Markers of frames with Huffman codes that are neither progressive nor lossless."""
_SAMPLINGS = {((1, 1),), *(((across, down), (1, 1), (1, 1)) for across, down in ((1, 1), (2, 1), (2, 2)))}
"""Grey, 4:4:4, 4:2:2 and 4:2:0. Of others, versions of libjpeg-turbo draw the colours in different ways."""
_END = b"\xff\xd9"
_SHORT = "premature end of data"
"""libjpeg's words for a picture whose compressed data end too early."""


def is_plain(layout: Layout) -> bool:
    """Return whether `plain_pixels` may decode a file of this layout."""
    return (
        layout.kind in _SEQUENTIAL
        and layout.bits == 8
        and not layout.tagged
        and len(layout.scans) == 1
        and not layout.scans[0].interval
        and layout.count == len(layout.factors)
        and tuple(layout.factors.values()) in _SAMPLINGS
    )


def plain_pixels(data: bytes, layout: Layout) -> Image | None:
    """Return the pixels of a plain JPEG file, RGB uint8 [H, W, 3]; None if something is wrong with it.

    libjpeg warns of data that are missing, but not of the up to seven bytes that it has read ahead and not used. So the
    file is decoded again without its last byte, small and grey, as no pixel of that is used: if all data were needed,
    that one is missing.
    """
    (scan,) = layout.scans
    try:
        found: Image = simplejpeg.decode_jpeg(memoryview(data)[: layout.end], "RGB")
    except ValueError:
        return None
    try:
        # Without a least size, simplejpeg takes no notice of the factor.
        simplejpeg.decode_jpeg(data[: scan.end - 1] + _END, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return found if _SHORT in str(error) else None
    return None
