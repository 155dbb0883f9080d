"""Several faces of one picture: picked together, and one score a picture where the protocol says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import m2f2bench
from m2f2bench.cards.protocols import FrameSelection
from m2f2bench.datasets.dataset import plan_frames
from m2f2bench.loading import load_dataset
from m2f2bench.results.row_files import read_parquet

BRIGHT = "class Bright:\n    def predict(self, images):\n        return [float(i.mean()) / 255 for i in images]\n"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two videos of 40 pictures; in the fake one each picture has a dark face (as real) and a brighter one."""
    folder = tmp_path / "faces"
    folder.mkdir()
    lines = ["path,label,video,method,picture"]
    for label, video in ((0, "a"), (1, "b")):
        for t in range(40):
            for face, level in enumerate((51, 102 + t) if label else (102,)):
                name = f"{video}_{t:02d}_{face}.png"
                Image.fromarray(np.full((8, 8, 3), level, dtype=np.uint8)).save(folder / name)
                lines.append(f"{name},{label},{video},{'swap' if label else ''},{t}")
    (folder / "frames.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "bright.py").write_text(BRIGHT)
    return tmp_path


def test_pictures_are_picked_with_all_their_faces(faces: Path) -> None:
    dataset = load_dataset(str(faces / "faces" / "frames.csv"))
    frames = plan_frames(dataset.adapter, "test", FrameSelection(which="uniform", count=4))
    assert [f.id for f in frames if f.label] == [f"b_{t:02d}_{face}.png" for t in (5, 15, 25, 35) for face in (0, 1)]
    assert len([f for f in frames if not f.label]) == 4
    assert frames[-1].picture == frames[-2].picture == "swap/b/35"


def test_sbi_takes_the_highest_face_of_a_picture(faces: Path) -> None:
    words = {"detectors": f"{faces}/bright.py:Bright", "datasets": str(faces / "faces" / "frames.csv")}
    result = m2f2bench.run(**words, protocols=["sbi", "video"], out=faces / "o")
    by = {r.protocol: r for r in result}
    # The 32 pictures of 40 stand at t = (2i + 1) 40 / 64; their brighter faces have the mean level 102 + mean(t).
    picked = [((2 * i + 1) * 40) // 64 for i in range(32)]
    high = (102 + float(np.mean(picked))) / 255
    rows = read_parquet(faces / "o" / "bright.Bright--frames--sbi" / "predictions.parquet")
    assert len(rows) == 96 and len({row.picture for row in rows if row.label}) == 32
    assert by["sbi"].metrics["auc"].value == 1.0
    brier = ((102 / 255) ** 2 + (1 - high) ** 2) / 2
    assert m2f2bench.score(faces / "o" / "bright.Bright--frames--sbi", protocol=card(faces, "max")).metrics[
        "brier"
    ].value == pytest.approx(brier, abs=1e-12)
    assert by["video"].metrics["auc"].value == 0.0, "with all faces apart the two in each picture average below .4"


def card(folder: Path, faces: str) -> str:
    path = folder / f"{faces}.yaml"
    path.write_text(
        f"name: {faces}\nlevel: video\nframes: {{which: uniform, count: 32}}\nfaces: {faces}\nmetrics: [brier]\n"
    )
    return str(path)


def test_rows_with_pictures(cli, one_line, tmp_path: Path) -> None:
    lines = [
        "id,label,score,video,picture",
        "a,1,0.2,v,p1",
        "b,1,0.8,v,p1",
        "c,1,0.4,v,p2",
        "d,0,0.5,w,p3",
        "e,0,0.1,w,p3",
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    rule = tmp_path / "pictures.yaml"
    rule.write_text("name: pictures\nlevel: frame\nfaces: max\nmetrics: [auc, accuracy]\n")
    found = json.loads(cli("score", path, "-p", rule, "--json").out)["metrics"]
    # pictures: p1 .8 (fake), p2 .4 (fake), p3 .5 (real)
    assert found["auc"]["value"] == 0.5 and (found["auc"]["n_real"], found["auc"]["n_fake"]) == (1, 2)
    assert found["accuracy"]["value"] == pytest.approx(1 / 3)
    path.write_text("\n".join([*lines, "f,0,0.3,w,p2"]) + "\n")
    assert "picture 'p2' has real and fake rows" in one_line(cli("score", path, "-p", rule))
