"""The processor's time of a whole run over many small images: what m2f2bench adds to a detector that takes no time.

50,000 JPEG files of 64 px through `constant`, in a process of its own, user and system time; beside it that of reading
them with Pillow alone. Asked: at most 12 s on a machine on which 0.5.0 took 27 s.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import command, report, sized, spent
from PIL import Image

COUNT = sized(50_000, 200)
MOST = 12.0
BARE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
for path in sorted(Path(sys.argv[1]).rglob("*.jpg")):
    np.asarray(Image.open(path).convert("RGB"))
"""


def make_images(root: Path, count: int) -> None:
    """Soft noise, as many reals as fakes, each file another one."""
    draws = np.random.default_rng(0)
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
        for number in range(count // 2):
            small = Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            small.resize((64, 64), Image.Resampling.BICUBIC).save(root / label / f"{number:06d}.jpg", quality=85)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        faces = Path(folder, "faces")
        make_images(faces, COUNT)
        begin = spent()
        command(["run", "-d", "constant", "-s", faces, "--out", Path(folder, "out")], Path(folder, "log"), 1)
        ours = spent() - begin
        begin = spent()
        subprocess.run([sys.executable, "-c", BARE, faces], check=True)
        bare = spent() - begin
    report(
        [
            {
                "what": f"`constant` over {COUNT:,} JPEG files of 64 px",
                "cpu_s": ours,
                "pillow_cpu_s": bare,
                "ratio": ours / bare,
                "asked": f"<= {MOST:g} s",
            }
        ]
    )


if __name__ == "__main__":
    main()
