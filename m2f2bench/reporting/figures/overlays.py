"""Folder of heat maps: an overlay, the map's numbers and an index entry for each file.

`NAME-HASH.png` is the overlay, `NAME-HASH.npy` the detector's map (float32 [h, w]; for a video [n, h, w], the drawn
frames), and `heatmaps.json` has the source of each and how it was made. HASH is of the file's whole path: two files of
the same name have two maps, and a file always has the same name here.
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
    """A folder with overlays of one detector, locked until `close`.

    A map is only replaced by one of the same file and detector; any other file in its place is an error. So a repeated
    command renews its pictures, and each detector needs its own folder.
    """

    def __init__(self, folder: Path, detector: Detector, scale: str = "fixed") -> None:
        """Open the folder. Raises StoreError for an unknown scale, or if the folder has another detector's maps."""
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
        """Write one file's overlay and maps; return the overlay's path. `frames`: the frame numbers in a video."""
        mark = path_mark(source)
        out = self.folder / f"{_short(source.name)}-{mark}.png"
        self._refuse_foreign(out, mark)
        foot = [f"detector {self.name}"]
        foot += [f"whole video: P(fake) {score:.4f}"] if frames is not None else []
        tags = {"Title": source.name, "Software": f"{MAKER} {__version__}", "Source": mark, "Detector": self.name}
        draw_overlays(panels, out, title=source.name, foot=foot, scale=self.scale, tags=tags)
        self._keep(out.with_suffix(".npy"), panels, frames is not None)
        entry: dict[str, Any] = {"path": in_utf8(str(source)), "score": score, "map": out.with_suffix(".npy").name}
        entry |= {"shape": list(panels[0].heat.shape), "colours": self.scale, "seen": list(panels[0].visible)}
        self.entries[out.name] = entry | ({} if frames is None else {"frames": list(frames)})
        return out

    def close(self) -> None:
        """Write the index and unlock the folder."""
        try:
            self._write_index()
        finally:
            self._held.close()

    def _write_index(self) -> None:
        maps = dict(sorted(self.entries.items()))
        write_json(self.folder / INDEX, {"made_by": MAKER, "version": __version__, **self.by, "maps": maps})

    def _known(self) -> dict[str, Any]:
        """Return the entries of an existing index."""
        path = self.folder / INDEX
        if not path.exists():
            return {}
        try:
            found = read_json(path)
            known = dict(found["maps"])
            by = {key: found[key] for key in self.by}
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"'{path}' is not an index of heat maps: give another folder, or move that file") from None
        if by != self.by:
            other = "with other weights" if by["detector"] == self.name else f"of detector '{by['detector']}'"
            raise StoreError(f"'{self.folder}' holds heat maps {other}: give another folder for '{self.name}'")
        return known

    def _refuse_foreign(self, out: Path, mark: str) -> None:
        """Raise StoreError if another file is in the place of this file's overlay."""
        from PIL import Image as Pillow

        if not out.exists():
            return
        try:
            with Pillow.open(out) as there:
                info = there.info
        except OSError:
            info = {}
        if info.get("Source") != mark or not str(info.get("Software", "")).startswith(MAKER):
            raise StoreError(f"'{out}' exists and is not a heat map of this file: give another folder, or move it")

    def _keep(self, out: Path, panels: Sequence[Panel], several: bool) -> None:
        import numpy as np

        maps = np.stack([panel.heat for panel in panels]) if several else panels[0].heat
        with replacing(out) as temporary, temporary.open("wb") as file:
            np.save(file, maps, allow_pickle=False)


def _short(name: str, most: int = 180) -> str:
    """Return at most `most` bytes of a name: file systems allow 255, and HASH and the ending follow."""
    return in_utf8(name).encode()[:most].decode("utf-8", "ignore")


def path_mark(path: Path) -> str:
    """Return 10 hex digits that identify a file's whole path, with links resolved."""
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:10]
