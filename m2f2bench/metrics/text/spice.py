"""SPICE: scene graphs compared by its own Java program, if the parser it needs is installed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from ...core.arrays import Floats
from . import java
from .items import Items, one_line, shortened
from .java import Unavailable

JAR = "spice-1.0.jar"
PARSER = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
ARCHIVE = "stanford-corenlp-full-2015-12-09.zip"


def lacking(place: str = "") -> str:
    """Return what SPICE's parser lacks and where to put it; "" if it is complete. Raises `Unavailable` without SPICE.

    `place` is the name of its folder in a result that others read; by default its path.
    """
    folder = java.jar("spice", JAR).parent / "lib"
    absent = [name for name in PARSER if not (folder / name).is_file()]
    return (
        f"needs {' and '.join(absent)} in '{place or folder}': put them there from {ARCHIVE} of Stanford NLP"
        if absent
        else ""
    )


def spice_values(items: Items) -> Floats:
    """Return SPICE's F of each item over all parts of the scene graph, [N] in [0, 1], NaN without references.

    Anderson et al., ECCV 2016. Nothing is downloaded and nothing is written into the package. Raises `Unavailable` if
    the parser's two jars are not in its folder, or the program fails.
    """
    if why := lacking("pycocoevalcap/spice/lib"):
        raise Unavailable(why)
    program = java.jar("spice", JAR)
    java.java()
    if not items.pairs:
        return np.full(len(items.which), np.nan)
    rows = [
        {"image_id": number, "test": _field(text), "refs": [_field(one) for one in references]}
        for number, (text, references) in enumerate(items.pairs)
    ]
    with tempfile.TemporaryDirectory(prefix="m2f2bench-spice-") as place:
        asked, scored = Path(place) / "asked.json", Path(place) / "told.json"
        asked.write_text(json.dumps(rows), encoding="utf-8")
        java.run(["-Xmx8G", "-jar", program, asked, "-out", scored, "-silent"], folder=Path(place))
        try:
            found = {row["image_id"]: row["scores"]["All"]["f"] for row in json.loads(scored.read_text("utf-8"))}
            values = np.array([found[number] for number in range(len(rows))], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"its Java program left no F for each answer ({error})") from None
    return items.spread(values)


def _field(text: str) -> str:
    """Return a text as the program's input: one line, and only the beginning of a very long one."""
    return shortened(one_line(text))[0]
