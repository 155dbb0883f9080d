"""The version, the versions that last moved numbers, of all metrics and of each, and the commit."""

from __future__ import annotations

__version__ = "0.6.0"
WHOLE = {"scores": "0.5.1", "answers": "0.5.2", "maps": "0.6.0"}
"""The version that last moved all numbers of detection, of answers to questions and of heat maps."""
MOVED: dict[str, dict[str, tuple[str, ...]]] = {"scores": {}, "answers": {}, "maps": {}}
"""Later versions in which one metric's numbers moved, by its name, oldest first. They split no other column."""


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _newest(of: str) -> str:
    return max((WHOLE[of], *(one for moved in MOVED[of].values() for one in moved)), key=_parts)


DETECTION, ANSWERS, HEATMAPS = (_newest(of) for of in ("scores", "answers", "maps"))
"""The versions that last changed a number of detection, of answers and of heat maps: the field `v` of signatures."""


def numbers_version(metric: str, of: str, v: str) -> str:
    """Return the version in which a metric's numbers last moved, for a result whose signature has `v`.

    `of` is what the metric measures: `scores`, `answers` or `maps`. A result from before WHOLE keeps its `v`.
    """
    if _parts(v) < _parts(WHOLE[of]):
        return v
    own = [one for one in MOVED[of].get(metric, ()) if _parts(one) <= _parts(v)]
    return max((WHOLE[of], *own), key=_parts)


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
