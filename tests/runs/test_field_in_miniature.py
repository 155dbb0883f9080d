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
VIDEOS = {
    "ffpp-videos-c23": (4, 20),
    "ffpp-videos-c40": (4, 20),
    "celebdf-v2": (4, 2),
    "dfdc": (3, 3),
    "df40-ff": (2, 6),
}
"""Real and fake test videos of the miniatures, counted by hand: two pairs are 4 reals and 4 fakes a manipulation; of
DF40 two methods with 2 fakes each and StyleGAN3's two pictures."""


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


@pytest.mark.slow
def test_each_dataset_gives_a_row_with_all_of_its_videos(results: m2f2bench.Results) -> None:
    by_dataset = {result.dataset: result for result in results}
    assert list(by_dataset) == list(COLUMNS)
    for name, counts in VIDEOS.items():
        score = by_dataset[name].metrics["auc"]
        assert (score.n_real, score.n_fake) == counts, name
    assert by_dataset["df40-ff"].frame_coverage == pytest.approx(20 / 22)  # two listed frames do not exist


@pytest.mark.slow
def test_real_and_fake_are_told_apart_everywhere(results: m2f2bench.Results) -> None:
    """A dataset with its labels the wrong way round, as Celeb-DF's list has them, would be under a half."""
    for result in results:
        value = result.metrics["auc"].value
        assert value is not None and value > 0.8, result.dataset


@pytest.mark.slow
def test_the_board_tells_in_domain_from_cross_dataset(results: m2f2bench.Results) -> None:
    (row,) = results.board().table.rows
    assert {name: cell.domain for name, cell in zip(COLUMNS, row.cells, strict=True) if cell} == {
        "ffpp-videos-c23": "dataset",
        "ffpp-videos-c40": "corpus",
        "celebdf-v2": "",
        "dfdc": "",
        "df40-ff": "corpus",
    }


@pytest.mark.slow
def test_scenes_are_called_scenes(results: m2f2bench.Results) -> None:
    scenes = {result.dataset for result in results if any("whole scenes" in line for line in result.warnings)}
    assert scenes == set(COLUMNS) - {"df40-ff"}
