"""KoDF: Korean speakers, fakes in one folder a model, as other readers of it name the folders."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ...core.records import FAKE, REAL
from ..base import AdapterOptions
from ..files.folders import folders_in
from .media_trees import media_under
from .trees import Listing, TreeAdapter, method_of

FAKES = ("fake-audio-driven", "fake-dffs", "fake-dfl", "fake-fo", "fake-fsgan", "fake-adv")
"""Folders of fakes: one a model, and fakes with adversarial noise (`adv`)."""
REALS = ("real", "real-adv")


class KoDFAdapter(TreeAdapter[AdapterOptions]):
    """Videos (or folders of pictures) anywhere under `real`, `real-adv` and `fake-<model>`, in any case, `_` or `-`.

    The first folder below, if there is one, counts as the person. There is no split: all is test.
    """

    layout: ClassVar[str] = "KoDF"
    needs: ClassVar[str] = f"real and folders such as {', '.join(FAKES[:3])}"
    inside: ClassVar[tuple[str, ...]] = ("KoDF", "kodf")
    splits: ClassVar[tuple[str, ...]] = ("test",)

    def _is_top(self, folder: Path) -> bool:
        names = {_plain(name) for name in folders_in(folder)}
        return bool(names.intersection(FAKES))

    def found(self, top: Path, split: str) -> Listing:
        """Return the videos by folder, the reals first."""
        folders = {_plain(name): path for name, path in folders_in(top).items()}
        known = [name for name in (*REALS, *FAKES) if name in folders]
        clips = []
        for name in known:
            label = FAKE if name.startswith("fake") else REAL
            method = method_of(label, name.removeprefix("fake-"))
            for one in media_under(folders[name]):
                above = one.name.split("/")[:-1] if not one.items else one.name.split("/")[:1]
                key = one.name if name != "real-adv" else f"adv/{one.name}"
                clips.append(one.clip(key, label, method, split, above[:1]))
        others = [path.name for name, path in folders.items() if name not in known]
        remarks = [f"unknown folders are left out: {', '.join(others[:5])}{' …' if len(others) > 5 else ''}"]
        absent = [name for name in ("real", *FAKES[:-1]) if name not in folders]
        return clips, (remarks if others else []) + ([f"not there: {', '.join(absent)}"] if absent else [])


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
