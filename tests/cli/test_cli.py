"""The command line around the main job: start-up, list, describe, doctor, predict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

JUDGING = ["run", "train", "score", "compare", "leaderboard", "check", "validate", "predict"]
COMMANDS = [*JUDGING, "audit", "plot", "list", "describe", "localize", "sheet", "doctor"]
LIGHT = [["--help"], ["list", "detectors"], ["list", "backends"], ["list", "datasets", "--json"], ["describe", "frame"]]


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_light_commands_do_not_import_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom m2f2bench.cli.main import main\nsys.argv = ['m2f2bench', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'timm', 'h5py', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_scoring_and_leaderboard_do_not_import_torch() -> None:
    code = (
        "import sys\nimport m2f2bench.scoring.score, m2f2bench.metrics.detection.values\n"
        "import m2f2bench.leaderboards.board\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_does_nothing() -> None:
    code = "import sys, m2f2bench\nassert not {'numpy', 'pydantic', 'yaml', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_names_every_command(cli) -> None:
    outcome = cli("--help")
    assert outcome.status == 0 and all(name in outcome.out for name in COMMANDS)


def test_version_and_wrong_use(cli) -> None:
    import m2f2bench

    assert cli("--version").out.strip() == m2f2bench.__version__
    assert cli("nonsense").status == 2
    assert cli("run", "--nonsense").status == 2


@pytest.mark.parametrize("kind", ["detectors", "datasets", "protocols", "metrics", "backends", "adapters"])
def test_list(cli, kind: str) -> None:
    rows = json.loads(cli("list", kind, "--json").out)
    assert rows and all(row["name"] and row["description"] for row in rows)
    assert all(row["name"] in cli("list", kind).out for row in rows)


def test_describe_shows_all_that_bear_a_name(cli) -> None:
    found = json.loads(cli("describe", "frequency", "--json").out)
    assert [item["kind"] for item in found] == ["detectors", "backends"]
    assert "backend: frequency" in cli("describe", "frequency").out


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ("backend: constant\nbogus: 1", "detector card 'mine.yaml': unknown key 'bogus'"),
        ("adapter: folder\nbogus: 1", "dataset card 'mine.yaml': unknown key 'bogus'"),
        ("level: frame\nmetrics: [auc]\nbogus: 1", "protocol card 'mine.yaml': unknown key 'bogus'"),
        ("columns: []", "leaderboard card 'mine.yaml': key 'columns'"),
        ("{", "card 'mine.yaml' cannot be read"),
        ("- 1", "card 'mine.yaml' must be a mapping"),
    ],
)
def test_describe_says_what_is_wrong_with_a_card(
    card: str, why: str, cli, one_line, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "" if card.startswith(("{", "-")) else "name: mine\n"
    (tmp_path / "mine.yaml").write_text(head + card)
    assert why in one_line(cli("describe", "mine.yaml"))


def test_describe_counts_frames(cli, real_data: Path) -> None:
    found = json.loads(cli("describe", "ddvqa-c40", "--frames", "--json").out)
    counts = found[0]["frames"]
    assert sum(counts["train"].values()) == 1339 and sum(counts["test"].values()) == 144
    assert counts["test"]["original"] == 72


def test_doctor(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = cli("doctor", "--json")
    found = {item["what"]: item for item in json.loads(outcome.out)}
    assert found["torch device"]["ok"] and found["cards: detectors"]["ok"]
    (tmp_path / "detectors").mkdir()
    (tmp_path / "detectors" / "x.yaml").write_text("name: x\n")
    broken = cli("doctor", "--cards", tmp_path)
    assert broken.status == 1 and "missing key 'backend'" in broken.err and "FAIL" in broken.out


PLUG = """
class Red:
    def predict(self, images):
        return [float(image[..., 0].mean()) / 255 for image in images]
"""


@pytest.fixture
def red(tmp_path: Path) -> str:
    (tmp_path / "red.py").write_text(PLUG)
    return f"{tmp_path}/red.py:Red"


def video(path: Path, reds: list[int]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for red in reds:
            pixels = np.zeros((64, 64, 3), np.uint8)
            pixels[..., 0] = red
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def test_predict_images_videos_and_folders(cli, red: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    Image.new("RGB", (20, 20), (255, 0, 0)).save(folder / "a.png")
    Image.new("RGB", (20, 20), (51, 0, 0)).save(folder / "b.png")
    (folder / "c.jpg").write_text("not an image")
    video(folder / "v.mp4", [0] * 10 + [250] * 10)
    (folder / "w.mp4").write_bytes(b"not a video")
    rows = {Path(r["path"]).name: r for r in json.loads(cli("predict", "--no-faces", folder, "-d", red, "--json").out)}
    assert (rows["a.png"]["score"], rows["a.png"]["verdict"]) == (1.0, "fake")
    assert (rows["b.png"]["score"], rows["b.png"]["verdict"]) == (pytest.approx(0.2), "real")
    assert rows["c.jpg"]["score"] is None and rows["c.jpg"]["status"] == "unreadable" and rows["c.jpg"]["message"]
    assert rows["v.mp4"]["score"] == pytest.approx(125 / 255, abs=0.02) and rows["v.mp4"]["frames"] == 20
    assert rows["w.mp4"]["status"] == "unreadable" and rows["w.mp4"]["verdict"] is None
    few = json.loads(cli("predict", "--no-faces", folder / "v.mp4", "-d", red, "--frames", 2, "--json").out)[0]
    assert few["frames"] == 2 and few["score"] == pytest.approx(125 / 255, abs=0.02)
    printed = cli("predict", "--no-faces", folder, "-d", red).out.splitlines()
    assert len(printed) == 5 and printed[0].startswith("1.0000  fake")


def test_predict_wants_something_to_judge(cli, one_line, red: str, tmp_path: Path) -> None:
    assert "there is no file or folder" in one_line(cli("predict", "--no-faces", tmp_path / "gone.png", "-d", red))
    (tmp_path / "empty").mkdir()
    assert "holds no image or video" in one_line(cli("predict", "--no-faces", tmp_path / "empty", "-d", red))


def test_d7_list_without_a_kind_lists_everything(cli) -> None:
    outcome = cli("list")
    assert outcome.status == 0
    heads = [line for line in outcome.out.splitlines() if line and not line.startswith(" ")]
    assert heads == [
        "detectors",
        "datasets",
        "protocols",
        "leaderboards",
        "crops",
        "metrics",
        "backends",
        "adapters",
        "controls",
    ]
    found = json.loads(cli("list", "--json").out)
    assert list(found) == heads and found["backends"] == json.loads(cli("list", "backends", "--json").out)


def test_d7_describe_a_class_of_ones_own(cli, one_line, red: str, tmp_path: Path) -> None:
    out = cli("describe", red).out
    assert f"use: -d {red}" in out and "kind: detectors" in out and "predict" in out
    told = json.loads(cli("describe", red, "--json").out)[0]
    assert told["class"] == red and told["methods"] == ["predict"] and told["options"] == []
    (tmp_path / "data.py").write_text(
        "from m2f2bench import Adapter\nclass Mine(Adapter):\n    'Mine alone.'\n"
        "    def frames(self, split): return []\n    def read(self, frame): raise RuntimeError\n"
    )
    out = cli("describe", f"{tmp_path / 'data.py'}:Mine").out
    assert "kind: datasets" in out and "doc: Mine alone." in out and f"use: -s {tmp_path / 'data.py'}:Mine" in out
    assert "no class 'Nine'" in one_line(cli("describe", f"{tmp_path / 'data.py'}:Nine"))
    assert "there is no file" in one_line(cli("describe", f"{tmp_path / 'none.py'}:Mine"))


def test_d7_unknown_names_suggest_no_backends_and_adapters(cli, one_line, tmp_path: Path) -> None:
    line = one_line(cli("run", "-d", "tim", "-s", "synthetic", "--out", tmp_path))
    assert "unknown detector 'tim'" in line and " timm" not in line.split(",")
    line = one_line(cli("run", "-d", "constant", "-s", "fold", "--out", tmp_path))
    assert "unknown dataset 'fold'" in line and "folder" not in line and "hdf5" not in line
    (tmp_path / "mine.py").write_text("class Mine: pass\n")
    assert f"name its class too, {tmp_path / 'mine.py'}:CLASS" in one_line(
        cli("run", "-d", tmp_path / "mine.py", "-s", "synthetic", "--out", tmp_path)
    )


@pytest.mark.parametrize("device", ["mps", "meta", "cuda:99", "gpu", "cpu:x"])
def test_d7_a_device_that_is_not_there(cli, device: str) -> None:
    from m2f2bench.cards.folders import DEVICES
    from m2f2bench.core.errors import DetectorError
    from m2f2bench.training.device import pick_device

    with pytest.raises(DetectorError, match=f"device '{device}' is (unknown|not available)") as found:
        pick_device(device)
    if "unknown" in str(found.value):
        assert DEVICES in str(found.value)
    told = " ".join(cli("train", "--help").out.replace("│", " ").split())
    assert all(name in told for name in DEVICES.split(", "))
