"""The version, the versions that last changed numbers, and the commit."""

from __future__ import annotations

__version__ = "0.6.0"
DETECTION = "0.5.1"
"""The version that last changed a number of detection: the field `v` of its signatures."""
ANSWERS = "0.5.2"
"""The same for answers to questions."""
HEATMAPS = "0.6.0"
"""The same for runs of heat maps."""


def commit() -> str | None:
    """Return the checkout's commit, with `-dirty` if it has changes; None outside a checkout."""
    import subprocess
    from pathlib import Path

    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True).stdout

    try:
        if Path(git("rev-parse", "--show-toplevel").strip()) != here.parent:
            return None
        return git("rev-parse", "HEAD").strip() + ("-dirty" if git("status", "--porcelain").strip() else "")
    except (OSError, subprocess.CalledProcessError):
        return None
