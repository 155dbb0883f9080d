"""Fault A2: everything that decides a number is in its signature. One thing at a time is changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_questions import RULES, Faces, Looker

import m2f2bench
from m2f2bench.cards.models import ProtocolCard
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.records import Frame
from m2f2bench.datasets.base import AdapterOptions
from m2f2bench.results.signature import MEASURE, measure_signature


class Options(AdapterOptions):
    level: int = 200


class Changed(Faces):
    """The toy faces with masks and pictures, with one thing changed."""

    Options = Options

    def __init__(self, what: str = "", root: Path | None = None, options: Options | None = None) -> None:
        super().__init__(root, options)
        self.what = what

    def frames(self, split: str) -> list[Frame]:
        found = [
            replace(one, video=f"{one.method}/v{i // 4}", picture=f"{one.method}/v{i // 4}/0")
            for i, one in enumerate(super().frames(split))
        ]
        first = {
            "label": replace(found[0], label=1, method="swap", video="swap/v0", picture="swap/v0/0"),
            "identity": replace(found[0], identities=found[8].identities),
            "picture": replace(found[0], picture="original/v0/1"),
            "method": replace(found[1], method="other"),
            "video": replace(found[0], video="original/another", picture="original/another/0"),
        }
        if self.what in first:
            found = [first[self.what] if one.id == first[self.what].id else one for one in found]
        return found

    def read(self, frame: Frame) -> Any:
        image = super().read(frame)
        if self.what == "pixel" and frame.id.endswith("05"):
            image[3, 4, 1] += 1
        return image

    def mask(self, frame: Frame) -> Any:
        mask = np.zeros((16, 16), bool)
        mask[4:8, 4:12] = True
        if self.what == "mask" and frame.id.endswith("05"):
            mask[0, 0] = True
        return mask

    def questions(self, split: str, kind: str = "blind") -> Any:
        found = super().questions(split, kind)
        if self.what == "reference":
            found[0] = replace(found[0], references=("Nothing is odd here.",))
        if self.what == "question":
            found[0] = replace(found[0], text=f"{found[0].text} ")
        return found

    def altered_regions(self, split: str) -> dict[str, frozenset[str]]:
        found = super().altered_regions(split)
        return found | ({f"{split}01": frozenset(["eyes"])} if self.what == "altered" else {})


class Mapper(Looker):
    """A detector that calls bright pictures fake; its map is uniform except for a corner."""

    def __init__(self, state: int = 0) -> None:
        self.state = state

    def predict(self, images: Any) -> list[float]:
        return [float(image.mean()) / 255 for image in images]

    def heatmap(self, images: Any) -> Any:
        maps = np.full((len(images), 4, 4), 0.5, np.float32)
        maps[:, 0, 0] = 0.9
        return maps


DETECTION = ("label", "identity", "picture", "method", "video", "pixel")
ANSWERS = ("label", "identity", "method", "pixel", "reference", "question", "altered")
MAPS = ("label", "identity", "method", "video", "pixel", "mask")


def detection(what: str, out: Path) -> str:
    rules = ProtocolCard(name="faces-max", level="frame", faces="max", bootstrap=Bootstrap(resamples=50))
    return m2f2bench.run(detectors=[Mapper()], datasets=[Changed(what)], protocols=[rules], out=out)[0].signature


def answers(what: str, out: Path) -> str:
    out.mkdir(exist_ok=True)
    (out / "toy.yaml").write_text(RULES)
    results = m2f2bench.run(
        detectors=[Mapper()], datasets=[Changed(what)], protocols=str(out / "toy.yaml"), out=out / "runs"
    )
    return next(one.signature for one in results if one.detector == "Mapper")


def maps(what: str, out: Path) -> str:
    return m2f2bench.localize(Mapper(), Changed(what), bootstrap=Bootstrap(resamples=20)).signature


CASES = [(work, what) for work, names in ((detection, DETECTION), (answers, ANSWERS), (maps, MAPS)) for what in names]


@pytest.mark.slow
@pytest.mark.parametrize(("work", "what"), CASES, ids=[f"{work.__name__}-{what}" for work, what in CASES])
def test_a2_one_change_changes_the_signature(work: Any, what: str, tmp_path: Path) -> None:
    first = work("", tmp_path / "a")
    assert work("", tmp_path / "b") == first
    assert work(what, tmp_path / "c") != first


def test_a2_what_is_really_drawn_is_signed(tmp_path: Path) -> None:
    """If people are unknown, videos are resampled, and the signature says so."""

    class Nameless(Changed):
        def frames(self, split: str) -> list[Frame]:
            return [replace(one, identities=()) for one in super().frames(split)]

    result = m2f2bench.run(detectors=[Mapper()], datasets=[Nameless()], out=tmp_path)[0]
    assert result.clusters["by"] == "video" and "ci:95%-video@" in result.signature
    people = m2f2bench.run(detectors=[Mapper()], datasets=[Changed()], out=tmp_path / "p")[0]
    assert people.clusters["by"] == "identity" and "ci:95%-identity@" in people.signature


def test_a2_every_field_of_a_signature_is_looked_at() -> None:
    """Two results differ if any one field of MEASURE differs."""
    fields = dict.fromkeys(MEASURE, "same")
    assert len({measure_signature(fields | {name: "other"}) for name in MEASURE}) == len(MEASURE)


@pytest.mark.slow
def test_a2_what_made_the_predictions_is_recorded(tmp_path: Path) -> None:
    result = m2f2bench.run(detectors=[Mapper()], datasets=[Changed()], out=tmp_path)[0]
    assert {"device", "machine", "python", "m2f2bench", "numpy", "pillow", "torch"} <= set(result.predicted)
    assert result.measured["env"].startswith("cpu-")
    (tmp_path / "toy.yaml").write_text(RULES.replace("tokenizer: none", "tokenizer: ptb"))
    rules = str(tmp_path / "toy.yaml")
    found = m2f2bench.run(detectors=[Mapper()], datasets=[Changed()], protocols=rules, out=tmp_path)
    assert all(one.predicted for one in found if one.detector == "Mapper")
    assert {"nltk", "pycocoevalcap", "transformers", "torch"} <= set(found[0].versions)
    if shutil.which("java"):
        assert found[0].versions["java"]
