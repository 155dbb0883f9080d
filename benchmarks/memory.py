"""Peak memory of a run over 2,000 and over 20,000 frames, each in a process of its own. Asked: within 10%.

EfficientNet-Lite0 judges 224×224 JPEG frames; the 20,000 are the 2,000 files, each named ten times in a manifest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from common import make_frames, make_lite0, report, sized

FEW, MANY = sized((2000, 20_000), (4, 8))

CHILD = """
import resource, sys
import m2f2bench
m2f2bench.run(detectors=sys.argv[1], datasets=sys.argv[2], out=sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_frames(root / "faces", FEW)
        make_lite0(root / "lite0")
        files = sorted((root / "faces").rglob("*.jpg"))
        peaks = {}
        for count in (FEW, MANY):
            place = root / f"n{count}"
            place.mkdir()
            lines = ["path,label"]
            for i in range(count):
                link = place / f"{i:06d}.jpg"
                link.symlink_to(files[i % len(files)])
                lines.append(f"{link.name},{files[i % len(files)].parent.name}")
            (place / "frames.csv").write_text("\n".join(lines) + "\n")
            words = [
                sys.executable,
                "-c",
                CHILD,
                str(root / "lite0"),
                str(place / "frames.csv"),
                str(root / f"o{count}"),
            ]
            peaks[count] = float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        report(
            [
                {
                    "what": f"peak memory of run, {MANY:,} / {FEW:,} frames",
                    f"mib_{FEW}": peaks[FEW],
                    f"mib_{MANY}": peaks[MANY],
                    "ratio": peaks[MANY] / peaks[FEW],
                    "asked": "<= 1.10",
                }
            ]
        )


if __name__ == "__main__":
    main()
