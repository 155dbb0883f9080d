"""The processor's time of `m2f2bench audit`: of 40 images of each split of `synthetic`, and of a folder of 40 images.

User and system time of a process of its own, start included, on two threads; the least of three. The first also learns
from the words of 6,552 questions. Asked: at most 5 s.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from common import command, make_frames, report, sized, spent

ROUNDS, IMAGES = sized((3, 40), (1, 4))
MOST = 5.0


def seconds(words: list[object], log: Path) -> float:
    """The least processor time of some rounds."""
    taken = []
    for _ in range(ROUNDS):
        begin = spent()
        command(words, log, 2)
        taken.append(spent() - begin)
    return min(taken)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        faces, log = Path(folder, "faces"), Path(folder, "log")
        make_frames(faces, IMAGES)
        command(["audit", "synthetic", "--limit", 1], log)  # unpacks the faces
        audits: dict[str, list[object]] = {
            f"synthetic, {IMAGES} images of each split": ["audit", "synthetic", "--limit", IMAGES],
            f"a folder of {IMAGES} images": ["audit", faces],
        }
        report(
            [
                {"what": f"audit of {what}", "cpu_s": seconds(words, log), "asked": f"<= {MOST:g} s"}
                for what, words in audits.items()
            ]
        )


if __name__ == "__main__":
    main()
