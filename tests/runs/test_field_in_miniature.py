"""The field in miniature: trained on FaceForensics++ c23, judged on five datasets, and a board of it.

Real videos and frames in the layouts in which people have them; the detector sees whole frames.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from field_dfb import make_df40, make_dfb
from field_videos import make_celebdf, make_dfdc, make_ffpp

import m2f2bench

DETECTOR = {
    "name": "tiny",
    "backend": "timm",
    "input": {"size": 64},
    "options": {
        "model": "resnet10t",
        "mode": "finetune",
        "pretrained": None,
        "model_kwargs": {"channels": [8, 16, 16, 16]},
    },
    "training": {"epochs": 12, "batch_size": 8, "optimizer": "adamw", "lr": 8e-3, "frames_per_video": 2},
}
COLUMNS = ("ffpp-videos-c23", "ffpp-videos-c40", "celebdf-v2", "dfdc", "df40-ff")
VIDEOS = {"ffpp-videos-c23": (4, 20), "ffpp-videos-c40": (4, 20), "celebdf-v2": (4, 2), "dfdc": (3, 3)}
"""Real and fake test videos of the miniatures, counted by hand: 2 pairs are 4 reals and 4 fakes a manipulation."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    make_ffpp(root / "FaceForensics++", comps=("c23", "c40"))
    make_celebdf(root / "Celeb-DF-v2")
    make_dfdc(root / "DFDC")
    make_dfb(root / "deepfakebench")
    make_df40(root / "deepfakebench")
    return root


@pytest.fixture(scope="module")
def results(data: Path, tmp_path_factory: pytest.TempPathFactory) -> m2f2bench.Results:
    own = tmp_path_factory.mktemp("cards")
    suite = {
        "name": "miniature",
        "title": "The field in miniature",
        "detectors": ["tiny"],
        "train": [{"detector": "tiny", "dataset": "ffpp-videos-c23"}],
        "columns": [{"dataset": one, "protocol": "video", "metric": "auc"} for one in COLUMNS],
    }
    for kind, card in (("detectors", DETECTOR), ("leaderboards", suite)):
        place = own / kind / f"{card['name']}.yaml"
        place.parent.mkdir()
        place.write_text(yaml.safe_dump(card))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("M2F2BENCH_DATA", str(data))
        patch.setenv("M2F2BENCH_CARDS", str(own))
        patch.setenv("M2F2BENCH_CACHE", str(own / "cache"))
        return m2f2bench.run("miniature", out=own / "runs", device="cpu")


def test_each_dataset_gives_a_row_with_all_of_its_videos(results: m2f2bench.Results) -> None:
    by_dataset = {result.dataset: result for result in results}
    assert set(by_dataset) == set(COLUMNS)
    for name, (real, fake) in VIDEOS.items():
        score = by_dataset[name].metrics["auc"]
        assert (score.n_real, score.n_fake) == (real, fake), name
    assert by_dataset["ffpp-videos-c23"].metrics["auc"].value > 0.9
