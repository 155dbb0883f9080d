"""P(fake) of images and videos from Python, as a list that shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.arguments import checked
from ..core.notebook import Bar, chart, heading, lines, page, table
from .pictures import Pictures, listed
from .predict import predict_paths

if TYPE_CHECKING:
    import pandas as pd

    from ..faces.crops import CropCard
    from ..faces.find import FaceFinder

SHOWN = ("score", "verdict", "frames", "status", "message", "heatmap")
"""What the table of a notebook has of each file."""


class Predictions(list[dict[str, Any]]):
    """What `predict` found: a list with a dictionary for each file."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a row for each file, a column for each key; `score` is float64, NaN if unknown."""
        import pandas as pd

        frame = pd.DataFrame(list(self))
        return frame.astype({"score": "float64"}) if len(frame) else frame

    def _repr_html_(self) -> str:
        """Return a table of the files and a chart of their P(fake)."""
        kept = [
            key for key in SHOWN if key in ("score", "verdict", "frames") or any(self._said(row, key) for row in self)
        ]
        cells = [["file", *kept], *([Path(row["path"]).name, *(_cell(row[key]) for key in kept)] for row in self)]
        bars = [Bar(Path(row["path"]).name, row["score"]) for row in self]
        answers = [
            f"{Path(row['path']).name}: {one['question']} {one['text']}"
            for row in self
            for one in row.get("answers", ())
        ]
        return page(
            heading("P(fake)"),
            table(cells) if self else "",
            chart("P(fake)", bars, reference=0.5),
            *self._faces(),
            lines(answers),
        )

    def _faces(self) -> list[str]:
        """Return a table of all faces, and why their verdicts may mean little; nothing if faces were not searched."""
        pairs = [(Path(row["path"]).name, one) for row in self for one in row.get("faces", ())]
        if not pairs:
            return []
        cells = [
            [name, one["face"], one["p_fake"], one["verdict"], _place(one["box"]), one["score"], one["crop"]]
            for name, one in pairs
        ]
        head = ["file", "face", "P(fake)", "verdict", "box", "finder's score", "crop"]
        own = [f"{name}, face {one['face']}: {text}" for name, one in pairs for text in one["warnings"]]
        general = dict.fromkeys(text for row in self for text in row.get("warnings", ()))
        return [
            heading("Faces"),
            table([head, *[[_cell(value) for value in row] for row in cells]]),
            lines([*own, *general]),
        ]

    @staticmethod
    def _said(row: dict[str, Any], key: str) -> bool:
        return bool(row.get(key)) and (key, row[key]) != ("status", "ok")


def _place(box: Sequence[float]) -> str:
    """Return a face's place in the picture in pixels, such as `181,58 to 270,178`."""
    x0, y0, x1, y1 = (round(edge) for edge in box)
    return f"{x0},{y0} to {x1},{y1}"


def _cell(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


@checked
def predict(
    paths: Pictures,
    detector: Any,
    *,
    names: Sequence[str] = (),
    frames: int = 32,
    device: str = "auto",
    batch_size: int = 32,
    heatmaps: str | Path | None = None,
    heatmap_scale: str = "fixed",
    explain: bool = False,
    questions: Sequence[str] = (),
    faces: bool = True,
    crop: str | CropCard = "",
    finder: str | FaceFinder = "",
    precision: str | None = None,
) -> Predictions:
    """Judge images, videos and folders of them without a dataset, as the command `predict` does.

    Faces are found first (extra `faces`), and each has its verdict; with `faces=False` each image is taken as it is, as
    the crop of one face. `finder` finds them (default: `centerface`), and `crop`, a card, cuts them out (default: as in
    the detector's training where it is known, else `m2f2det`). `paths` is a path, an image in memory (an
    array, RGB uint8 [H, W, 3], or a Pillow image), a list of them, an array [N, H, W, 3], or a mapping `{name: image}`.
    `names` name images in memory, in order; else they are `image0`, `image1`, …. An image in memory has the result of
    its file (a PNG), and is not changed. `detector` is a name, a card, a folder, `file.py:Class` or an object. Of a
    video `frames` frames are judged, evenly spread. Returns a dictionary for each file: `path` (of an image in memory
    its name), `score` (P(fake) in [0, 1], of a video the mean over its frames; None if it cannot be judged), `verdict`
    (`fake` from 0.5 on, `real`, None), `status` (`ok`, `unreadable`, …), `frames` (how many were judged),
    `frames_readable` and `frames_promised` (of a video, else None), `message`, and `heatmap`.

    With faces there are `faces`, a list with a dictionary for each face (of a video: each person): `face` (its number),
    `box` (left, top, right, bottom in pixels), `side`, `score` (the finder's), `p_fake`, `verdict`, `status`,
    `message`, `crop`, `crop_size` and `warnings`; of a person also `frames`, `scores`, `times` (seconds) and `boxes`.
    The file's `score` and `verdict` are those of the face with the highest P(fake). A file without a face has the
    status `no_face`. `frames_without_face` counts those of a video, `trained_on` names the detector's training data,
    and `warnings` say why the verdicts may mean little. A nearly square picture that one face fills is taken as it is.

    With `heatmaps`, a folder, an overlay is drawn for each file, and `heatmap` is its path; `heatmap_scale` is `fixed`
    (colours from 0 to 1) or `image` (stretched to the file's own values). With `explain`, or with `questions`, the
    detector is asked about each image, for a video about the middle frame (`asked_frame`), and `answers` has what it
    said. `precision` is the arithmetic of torch networks (fp32, tf32, bf16, fp16), None: that of the detector's card.
    Raises DataError if a path does not exist or has nothing to judge, or for an array that is no image,
    DetectorError if the detector cannot do what is asked, and NothingJudged if none of the files can be judged.
    """
    return Predictions(
        predict_paths(
            listed(paths, names),
            detector,
            frames=frames,
            device=device,
            batch_size=batch_size,
            heatmaps=heatmaps,
            heatmap_scale=heatmap_scale,
            explain=explain,
            questions=questions,
            faces=faces,
            crop=crop,
            finder=finder,
            precision=precision,
        )
    )
