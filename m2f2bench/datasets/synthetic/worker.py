"""Worker process that draws its share of a split into existing arrays, and reports each video in one line.

It is a program and not a child of a pool: a pool would import the caller's main module again, which fails in a
notebook, a pipe or a script without a guard. It ends by itself when the reader of its lines is gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .draw import draw_identities
from .plan import SyntheticOptions

FRAMES, MASKS = "frames.npy", "masks.npy"


def work(folder: Path, options: SyntheticOptions, split: str, share: int, of: int) -> Iterator[dict[str, Any]]:
    """Draw every `of`-th identity into the arrays in `folder`; yield `{"video": name, "notes": {...}}` per video."""
    frames = np.load(folder / FRAMES, mmap_mode="r+")
    masks = np.load(folder / MASKS, mmap_mode="r+")
    for drawn in draw_identities(options, split, share, of):
        rows = slice(drawn.video.row, drawn.video.row + len(drawn.frames))
        frames[rows] = drawn.frames
        masks[rows] = np.packbits(drawn.masks.reshape(len(drawn.masks), -1), axis=1)
        yield {"video": drawn.video.name, "notes": drawn.notes}
    frames.flush()
    masks.flush()


def main(arguments: list[str]) -> int:
    """Run `python -m ...worker FOLDER OPTIONS_JSON SPLIT SHARE OF`."""
    folder, options, split, share, of = arguments
    try:
        for line in work(Path(folder), SyntheticOptions.model_validate_json(options), split, int(share), int(of)):
            print(json.dumps(line), flush=True)
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
