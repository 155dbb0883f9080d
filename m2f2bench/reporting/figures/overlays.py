"""A folder of heat maps: for each file judged an overlay to look at, the map's numbers, and a line in an index.

`NAME-HASH.png` is the overlay, `NAME-HASH.npy` the map as the detector gave it (float32 [h, w]; of a video [n, h, w]
for the frames drawn), `heatmaps.json` says of each which file it came from and how. HASH is of the file's whole path,
so that two files of one name have two maps, and the same file always has the same.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import StoreError
from ...core.files import replacing, write_json
from ...core.locks import holding
from ...core.parsing import read_json
from ...core.text import in_utf8
from ...version import __version__
from .overlay import SCALES, Panel, draw_overlays

if TYPE_CHECKING:
    from ...detectors.base import Detector

INDEX = "heatmaps.json"
MAKER = "m2f2bench"


class OverlayFolder:
    """Writes overlays into a folder that holds those of one detector.

    What is there is only replaced by the map of the same file by the same detector; anything else is left alone and is
    an error. So a repeated command renews its pictures, and a second detector takes a folder of its own. It is
    held until `close`.
    """

    def __init__(self, folder: Path, detector: Detector, scale: str = "fixed") -> None:
        """Raises StoreError for an unknown scale, a folder that cannot be written or holds another detector's maps."""
        known = next((one for one in SCALES if one == scale), None)
        if known is None:
            raise StoreError(f"heat map scale '{scale}' is not known: give {' or '.join(SCALES)}")
        self.folder, self.scale, self.name = folder, known, detector.card.name
        self.by = {"detector": self.name, "weights": detector.fingerprint(), "preprocessing": detector.preprocessing}
        with contextlib.ExitStack() as held:
            held.enter_context(holding(folder))
            self.entries = self._known()
            self._write_index()
            self._held = held.pop_all()

    def write(self, source: Path, panels: Sequence[Panel], score: float, frames: Sequence[int] | None = None) -> Path:
        """Draw one file's panels and keep their maps; the overlay's path. `frames`: the numbers of a video's frames."""
        mark = path_mark(source)
        out = self.folder / f"{_short(source.name)}-{mark}.png"
        self._refuse_foreign(out, mark)
        what = [f"detector {self.name}"]
        what += [f"whole video: P(fake) {score:.4f}"] if frames is not None else []
        tags = {"Title": source.name, "Software": f"{MAKER} {__version__}", "Source": mark, "Detector": self.name}
        draw_overlays(panels, out, title=source.name, foot=what, scale=self.scale, tags=tags)
        self._keep(out.with_suffix(".npy"), panels, frames is not None)
        entry: dict[str, Any] = {"path": in_utf8(str(source)), "score": score, "map": out.with_suffix(".npy").name}
        entry |= {"shape": list(panels[0].heat.shape), "colours": self.scale, "seen": list(panels[0].seen)}
        self.entries[out.name] = entry | ({} if frames is None else {"frames": list(frames)})
        return out

    def close(self) -> None:
        """Write the index, and give the folder back."""
        try:
            self._write_index()
        finally:
            self._held.close()

    def _write_index(self) -> None:
        maps = dict(sorted(self.entries.items()))
        write_json(self.folder / INDEX, {"made_by": MAKER, "version": __version__, **self.by, "maps": maps})

    def _known(self) -> dict[str, Any]:
        """The index's lines that are there already."""
        path = self.folder / INDEX
        if not path.exists():
            return {}
        try:
            found = read_json(path)
            known = dict(found["maps"])
            by = {key: found[key] for key in self.by}
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"'{path}' is not an index of heat maps: give another folder, or move it away") from None
        if by != self.by:
            other = "with other weights" if by["detector"] == self.name else f"of detector '{by['detector']}'"
            raise StoreError(f"'{self.folder}' holds heat maps {other}: give '{self.name}' a folder of its own")
        return known

    def _refuse_foreign(self, out: Path, mark: str) -> None:
        """Raise StoreError where there is something else than our picture of the same file."""
        from PIL import Image as Pillow

        if not out.exists():
            return
        try:
            with Pillow.open(out) as there:
                info = there.info
        except OSError:
            info = {}
        if info.get("Source") != mark or not str(info.get("Software", "")).startswith(MAKER):
            raise StoreError(
                f"'{out}' is there and is no heat map of ours of this file: give another folder, or move it away"
            )

    def _keep(self, out: Path, panels: Sequence[Panel], several: bool) -> None:
        import numpy as np

        maps = np.stack([panel.heat for panel in panels]) if several else panels[0].heat
        with replacing(out) as temporary, temporary.open("wb") as file:
            np.save(file, maps, allow_pickle=False)


def _short(name: str, most: int = 180) -> str:
    """At most so many bytes of a name: file systems allow 255, and a mark and an ending are still to come."""
    return in_utf8(name).encode()[:most].decode("utf-8", "ignore")


def path_mark(path: Path) -> str:
    """10 hex digits of a file's whole path, links resolved."""
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:10]
