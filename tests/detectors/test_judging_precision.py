"""Precision in which torch networks judge: what is computed, what is refused, and what the user is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_explainer import detector_folder, stages
from toy_m2f2det import pixels, toy_network
from toy_questions import Faces

from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import InputSettings
from m2f2bench.core.arithmetic import computing
from m2f2bench.core.cluster import Cluster
from m2f2bench.core.errors import DetectorError
from m2f2bench.demo.judging import Panel
from m2f2bench.detectors.llm.prompt import IMAGE
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.network import NetworkDetector
from m2f2bench.heatmaps.judging import How
from m2f2bench.loading import load_detector

PICTURES = [np.random.default_rng(number).integers(0, 256, (24, 24, 3)).astype(np.uint8) for number in range(6)]
SETTINGS = InputSettings(size=24, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def small_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 1))


def small_detector() -> NetworkDetector:
    detector = NetworkDetector(small_network(), SETTINGS, "cpu", "fixed")
    detector.card = DetectorCard(name="small", backend="constant")
    return detector


def test_bf16_is_autocast_and_fp32_stays_exact() -> None:
    model = small_network().eval()
    given = torch.from_numpy(np.stack(PICTURES)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.no_grad():
        exact = torch.sigmoid(model(given)[:, 0].double()).numpy()
        with torch.autocast("cpu", torch.bfloat16):
            coarse = torch.sigmoid(model(given)[:, 0].double()).numpy()
    detector = small_detector()
    assert detector.in_fp32(PICTURES, []) is None
    assert np.allclose(detector.predict(PICTURES), exact, atol=1e-6)
    detector.compute_in("bf16")
    assert detector.precision == "bf16"
    assert np.allclose(detector.predict(PICTURES), coarse, atol=2e-3) and abs(coarse - exact).max() > 1e-4
    again = detector.in_fp32(PICTURES, [])
    assert again is not None and np.allclose(again, exact, atol=1e-6)
    assert np.array_equal(detector.predict(PICTURES), detector.predict(PICTURES)) and detector.arithmetic == "bf16"
    detector.compute_in("fp32")
    assert np.allclose(detector.predict(PICTURES), exact, atol=1e-6)


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_what_a_cpu_does_not_compute_is_one_line(precision: str) -> None:
    detector = small_detector()
    with pytest.raises(DetectorError, match=f"detector 'small': precision {precision} needs a GPU: take fp32 or bf16"):
        detector.compute_in(precision)
    assert detector.precision == detector.arithmetic == "fp32"


def test_tf32_is_set_while_computing_and_the_users_setting_comes_back() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with computing("tf32", "cuda"):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before


def test_the_precision_says_what_is_computed_in_whatever_order_it_is_asked(tmp_path: Path) -> None:
    detector = load_detector(str(detector_folder(tmp_path / "toy")), "cpu")
    assert isinstance(detector, NetworkDetector) and detector.precision == "fp32"
    for precision in ("bf16", "fp32", "bf16", "bf16", "fp32"):
        detector.compute_in(precision)
        assert detector.precision == detector.arithmetic == precision
    detector.parts = "clip-bf16"
    for precision, said in (("bf16", "bf16+clip-bf16"), ("fp32", "clip-bf16"), ("bf16", "bf16+clip-bf16")):
        detector.compute_in(precision)
        assert detector.precision == said


def test_16_bits_reach_a_frozen_image_tower() -> None:
    network = toy_network()
    seen: list[torch.dtype] = []
    for module in network.clip.vision_model.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
    for exact in (True, False):
        network.exact_tower = exact
        seen.clear()
        with torch.no_grad(), computing("bf16", "cpu"):
            network.judge(pixels(2))
        assert set(seen) == {torch.float32 if exact else torch.bfloat16}


def test_a_run_says_its_precision_and_keeps_it_apart(tmp_path: Path, cli, one_line) -> None:
    folder = detector_folder(tmp_path / "toy")
    words = ["run", "-d", folder, "-s", "synthetic", "--limit", 24, "--batch-size", 8, "--out", tmp_path / "o"]
    found = cli(*words, "--precision", "bf16", "--json")
    assert found.status == 0 and '"prec": "bf16"' in found.out
    assert "toy: in bf16 P(fake) moves by at most " in found.err and "on the first 8 frames" in found.err
    assert found.err.count("P(fake) moves") == 1
    assert "holds rows of another run, differing in precision" in one_line(cli(*words))
    card = folder / "card.yaml"
    card.write_text(card.read_text() + "precision: bf16\n")
    assert load_detector(str(folder), "cpu").precision == "bf16"
    assert cli(*words).status == 0
    assert load_detector(str(folder), "cpu", "fp32").precision == "fp32"
    assert "precision half; known: bf16, fp16, fp32, tf32" in one_line(cli(*words, "--precision", "half"))


@pytest.mark.slow
def test_workers_judge_in_it_and_this_process_need_not_have_it(tmp_path: Path, cli) -> None:
    pytest.importorskip("ray")
    folder = detector_folder(tmp_path / "toy")
    words = ["run", "-d", folder, "-s", "synthetic", "--limit", 24, "--batch-size", 8, "--precision", "bf16"]
    assert cli(*words, "--out", tmp_path / "one").status == 0
    found = cli(*words, "--out", tmp_path / "two", "--engine", "ray", "--workers", 1)
    assert found.status == 0 and found.err.count("toy: in bf16 P(fake) moves by at most ") == 1
    one, two = (tmp_path / name / "toy--synthetic--frame--limit24" / "result.json" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes() and '"prec": "bf16"' in one.read_text()
    assert How("auto", precision="fp16").here(Cluster()) == How("cpu", precision="fp32")
    assert How("auto", precision="fp16").here(None).precision == "fp16"


def test_predict_and_the_demo_compute_in_it_too(squares: Path, tmp_path: Path, cli, one_line) -> None:
    folder = detector_folder(tmp_path / "toy")
    words = ["predict", "--no-faces", squares / "fake", "-d", folder, "--json"]
    scores = []
    for more in ((), ("--precision", "bf16"), ("--precision", "fp32")):
        found = cli(*words, *more)
        assert found.status == 0
        scores.append([one["score"] for one in json.loads(found.out)])
    assert scores[0] == scores[2] != scores[1] and np.allclose(scores[0], scores[1], atol=0.02)
    assert "precision fp16 needs a GPU: take fp32 or bf16" in one_line(cli(*words, "--precision", "fp16"))
    panel = Panel.of([str(folder)], device="cpu", precision="bf16")
    assert [judge.detector.precision for judge in panel.judges] == ["bf16"]


def test_a_detector_with_its_own_arithmetic_says_so(squares: Path, tmp_path: Path, cli) -> None:
    found = cli("run", "-d", "constant", "-s", squares, "--out", tmp_path / "o", "--precision", "bf16")
    assert found.status == 0
    assert "detector 'constant' has an arithmetic of its own: bf16 does not change it" in found.err


@pytest.mark.slow
def test_an_explainer_answers_in_it_too(tmp_path: Path) -> None:
    folder = stages(tmp_path, Faces())["tune"]
    answers = {}
    explainer = load_detector(str(folder), "cpu")
    assert isinstance(explainer, M2F2Explainer)
    for precision in ("fp32", "bf16", "fp32"):  # and back
        explainer.compute_in(precision)
        assert explainer.precision == ("llm-fp32" if precision == "fp32" else "bf16+llm-bf16")
        replies = explainer.explain(PICTURES[:3], ["Is it fake?"] * 3)
        assert all(one.text or one.tokens_out is not None for one in replies)
        wanted = torch.float32 if precision == "fp32" else torch.bfloat16
        _, tokens, _ = explainer.prompts(PICTURES[:3], ["Is it fake?"] * 3)
        assert explainer.language().model.dtype == wanted == tokens([0, 2])[IMAGE].dtype, (
            "no more bytes than the LLM reads"
        )
        found = [one.score for one in replies]
        assert answers.setdefault(precision, found) == found
    assert answers["fp32"] != answers["bf16"] and np.allclose(answers["fp32"], answers["bf16"], atol=0.05)
