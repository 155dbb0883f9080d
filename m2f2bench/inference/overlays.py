"""Overlays of what was judged: heat maps of pictures, of videos' frames, and of faces in the whole picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.progress import progress_bar
from ..core.records import Locator
from ..datasets.dataset import spread
from ..datasets.read_ahead import frames_ahead, load_frame
from .held import Files, frame_of, key
from .pictures import Picture
from .verdicts import Judged, JudgedFace, mean_of

if TYPE_CHECKING:
    from ..core.records import Image
    from ..detectors.base import Detector
    from ..faces.crops import Crop

AT_ONCE = 8
"""At most this many images are mapped together: they are in memory at full size, and may be large."""
DRAWN = 4
"""Number of a video's judged frames, evenly spread, or of a picture's faces, whose heat maps are drawn."""


@dataclass
class ToDraw:
    """One file whose overlay is to be drawn: its P(fake), and each image's pixels, P(fake) and number in a video.

    Of faces, `images` are their crops, `wholes` the pictures that they are from, and `labels` say whose they are.
    """

    file: Path | Picture
    score: float
    images: list[Image]
    scores: list[float]
    numbers: list[int] | None = None
    wholes: list[Image] | None = None
    crops: list[Crop | None] | None = None
    labels: list[str] | None = None


class Overlays:
    """Draws the heat maps of what was judged."""

    def __init__(self, detector: Detector, folder: Path, scale: str) -> None:
        """Open the folder. Raises DetectorError if the detector makes no maps, StoreError for another one's folder."""
        from ..heatmaps.mapping import HeatMapper
        from ..reporting.figures.overlay import OverlayFolder

        self.mapper, self.folder = HeatMapper(detector), OverlayFolder(folder, detector, scale)

    def images(
        self, files: Sequence[Path | Picture], pictures: Files, by_file: dict[str, Judged], batch_size: int
    ) -> None:
        """Draw an overlay for each image that has a score; images are read again to save memory."""
        scored = [(file, by_file[key(file)].rows[0].score) for file in files]
        wanted = {key(file): (file, score) for file, score in scored if score is not None}
        frames = [frame_of(name, Locator(str(file))) for name, (file, _) in wanted.items()]
        with progress_bar("heat maps", len(wanted)) as advance:
            for batch in frames_ahead(pictures, frames, count=1).batches(min(batch_size, AT_ONCE)):
                to_draw = []
                for loaded in batch:
                    file, score = wanted[loaded.frame.id]
                    if loaded.image is None:  # it has changed since it was judged
                        by_file[loaded.frame.id].trouble = f"no heat map: {loaded.reason}"
                        continue
                    to_draw.append(ToDraw(file, score, [loaded.image], [score]))
                self.draw(to_draw, by_file)
                advance(len(batch))

    def faces(self, file: Path | Picture, pictures: Files, by_file: dict[str, Judged]) -> None:
        """Draw one panel for each face of a picture that has a score, at most DRAWN, those of the highest P(fake)."""
        judged = by_file[key(file)]
        scored = [(one, one.score) for one in judged.faces or ()]
        best = sorted(((one, score) for one, score in scored if score is not None), key=lambda pair: -pair[1])[:DRAWN]
        if not best:
            return
        loaded = load_frame(pictures, frame_of(key(file), Locator(str(file))))
        if loaded.image is None:
            judged.trouble = f"no heat map: {loaded.reason}"
            return
        whole, count = loaded.image, len(scored)
        best.sort(key=lambda pair: pair[0].number)
        found = [one.middle for one, _ in best]
        labels = [f"face {one.number} of {count}" if count > 1 else "" for one, _ in best]
        drawn = ToDraw(file, mean_of(judged.rows) or 0.0, [one.crop.image for one in found], [s for _, s in best])
        drawn.wholes, drawn.labels = [whole] * len(best), labels
        drawn.crops = [None if one.whole else one.crop for one in found]
        self.draw([drawn], by_file)
        if count > len(best):
            judged.trouble = "; ".join(filter(None, [judged.trouble, f"heat maps of {len(best)} of {count} faces"]))

    def people(self, file: Path, judged: Judged, by_file: Mapping[str, Judged]) -> None:
        """Draw DRAWN frames of a video in all, evenly spread over the frames of each person that has a score."""
        people = [(one, one.score) for one in judged.faces or ()]
        best = sorted(((one, score) for one, score in people if score is not None), key=lambda pair: -pair[1])[:DRAWN]
        if not best or judged.video is None:
            return
        best.sort(key=lambda pair: pair[0].number)
        drawn = ToDraw(file, mean_of(judged.rows) or 0.0, [], [], [], [], [], [])
        places = {number: place for place, number in enumerate(judged.video.numbers)}
        for one, _ in best:
            for place in spread([i for i, row in enumerate(one.rows) if row.score is not None], DRAWN // len(best)):
                self._add(drawn, one, place, judged.video.images, places, len(people))
        self.draw([drawn], dict(by_file))

    def _add(
        self, drawn: ToDraw, one: JudgedFace, place: int, images: Sequence[Image], places: Mapping[int, int], count: int
    ) -> None:
        """Add one face of a person to what is drawn."""
        assert one.person is not None
        found, number, score = one.found[place], one.person.numbers[place], one.rows[place].score
        assert score is not None and drawn.numbers is not None and drawn.wholes is not None
        assert drawn.crops is not None and drawn.labels is not None
        drawn.images.append(found.crop.image)
        drawn.scores.append(score)
        drawn.numbers.append(number)
        drawn.wholes.append(images[places[number]])
        drawn.crops.append(None if found.whole else found.crop)
        drawn.labels.append(f"frame {number}" + (f", face {one.number} of {count}" if count > 1 else ""))

    def draw(self, batch: Sequence[ToDraw], by_file: dict[str, Judged]) -> None:
        """Map all pictures of some files at once and write an overlay for each file."""
        from ..reporting.figures.overlay import Panel

        pictures = [(one, i) for one in batch for i in range(len(one.images))]
        maps = iter(self.mapper.maps([one.images[i] for one, i in pictures], [str(one.file) for one, _ in pictures]))
        for one in batch:
            panels, numbers = [], []
            for i, (image, score) in enumerate(zip(one.images, one.scores, strict=True)):
                heat, number = next(maps), one.numbers[i] if one.numbers is not None else 0
                if isinstance(heat, str):
                    by_file[key(one.file)].trouble = heat
                    continue
                label = f"frame {number}" if one.numbers is not None else ""
                label = one.labels[i] if one.labels is not None else label
                whole = one.wholes[i] if one.wholes is not None else image
                crop = one.crops[i] if one.crops is not None else None
                panels.append(Panel(whole, heat, self.mapper.seen(image), score, label, crop))
                numbers.append(number)
            if panels:
                of_video = numbers if one.numbers is not None else None
                by_file[key(one.file)].heatmap = str(
                    self.folder.write(Path(str(one.file)), panels, one.score, of_video)
                )
