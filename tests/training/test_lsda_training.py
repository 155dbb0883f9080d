"""LSDA's training: terms and augmentation by hand, resuming, two processes, what is written, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_launch import fork
from toy_lsda import TRAININGS, WIDTH, Student, encoder, lsda_job, train

from m2f2bench.cards.settings import LossSettings
from m2f2bench.core.errors import DataError, DetectorError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.cnn import lsda_training
from m2f2bench.detectors.cnn.lsda import LsdaDetector
from m2f2bench.detectors.cnn.lsda_training import Draws, Teaching, draw, mixed, varied
from m2f2bench.training import loop
from m2f2bench.training.losses.base import Given, sum_of_sides
from m2f2bench.training.losses.lsda import Lsda, kept_identity
from m2f2bench.training.losses.make import method_numbers


def draws(count: int, **values: Any) -> Draws:
    """Draws that change nothing but what `values` say."""
    still: dict[str, Any] = {
        "ways": np.zeros(count, np.int64),
        "strengths": np.zeros(count),
        "noise": np.zeros((count, 1, 1, 1), np.float32),
        "two": np.zeros((count, 2), np.int64),
        "partners": np.arange(count),
        "shares": np.ones(count),
    }
    return Draws(**{**still, **{name: np.array(value) for name, value in values.items()}})


def column(*values: float) -> torch.Tensor:
    """Maps [N, 1, 1, 1]."""
    return torch.tensor(values, dtype=torch.float64)[:, None, None, None]


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (lsda_training.HARDEST, (0.5 * 9 + 0.5 * 0, 0.5 * 9 + 0.5 * 3, 9.0)),
        (lsda_training.AWAY, (0 + 0.5 * (0 - 4), 3 + 0.5 * (3 - 4), 9 + 0.5 * (9 - 4))),
        (lsda_training.NOISE, (0 + 0.5 * 7, 3 + 0.5 * 8, 9 + 0.5 * 6)),
        (lsda_training.DIFFERENCE, (0 + 0.5 * (9 - 3), 3 + 0.5 * (0 - 9), 9 + 0.5 * (3 - 0))),
    ],
)
def test_maps_are_varied_within_their_manipulation(way: int, expected: tuple[float, ...]) -> None:
    """Of 0, 3 and 9 the mean is 4 and the hardest 9; the fourth image is alone in its manipulation."""
    noise = np.array([7, 8, 6, 0], np.float32).reshape(-1, 1, 1, 1)
    two = [[2, 1], [0, 2], [1, 0], [3, 3]]
    made = draws(4, ways=[way] * 4, strengths=[0.5] * 4, noise=noise, two=two)
    found = varied(column(0, 3, 9, 100), [1, 1, 1, 2], made)
    assert found.flatten().tolist() == pytest.approx([*expected, 100])


def test_of_two_as_hard_the_first_is_taken() -> None:
    made = draws(2, ways=[lsda_training.HARDEST] * 2, strengths=[1.0, 1.0])
    assert varied(column(0.1, 0.30000001), [1, 1], made).flatten().tolist() == pytest.approx([0.1, 0.1])


def test_maps_are_mixed_across_manipulations() -> None:
    found = mixed(column(0, 8, 2), draws(3, shares=[0.25, 0.5, 1.0], partners=[1, 2, 0]))
    assert found.flatten().tolist() == [6.0, 5.0, 2.0]


def test_draws_respect_manipulations() -> None:
    methods = [0, 1, 0, 2, 1, 2, 2]
    ways, strengths = set(), []
    for seed in range(40):
        made = draw(methods, (2, 1, 1), np.random.default_rng(seed))
        ways |= set(made.ways.tolist())
        strengths += made.strengths.tolist()
        for i, method in enumerate(methods):
            assert {methods[j] for j in made.two[i]} == {method}
            assert methods[made.partners[i]] not in (0, method)
        assert made.noise.shape == (7, 2, 1, 1) and (made.shares >= 0).all() and (made.shares <= 1).all()
    assert ways == {0, 1, 2, 3} and 0 <= min(strengths) < 0.1 < 0.9 < max(strengths) < 1
    assert draw([0, 1, 1], (1, 1, 1), np.random.default_rng(0)).partners.tolist()[1:] == [1, 2]  # no other one


def test_distillation_is_of_reals_and_of_fakes() -> None:
    errors, labels = torch.tensor([1.0, 2.0, 3.0, 10.0]), torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert float(sum_of_sides(errors, labels)) == 12.0
    assert float(sum_of_sides(errors[:2], labels[:2])) == 1.5


def test_identity_by_hand() -> None:
    """Two pairs of maps of one cell: cosines 0 (kept, so 1 is lost) and 1 (swapped); the third has cosine -1."""
    maps = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])[:, :, None, None]
    asked = torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0, -1.0])
    assert kept_identity(maps, asked).tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, -2.0]
    assert kept_identity(maps.expand(-1, -1, 2, 3), asked).tolist() == [0.0, 6.0, 0.0, 0.0, 0.0, -12.0]


@pytest.mark.parametrize("variant", ["paper", "deepfakebench"])
def test_all_terms_by_hand(variant: str) -> None:
    rng = np.random.default_rng(0)
    labels, methods = np.array([0, 1, 0, 1]), np.array([0, 2, 0, 1])
    shapes = {"logit": (4,), "domains": (4, 3), "student": (4, 2, 3, 3), "target": (4, 2, 3, 3), "real": (4, 2, 3, 3)}
    made = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    outputs = {name: torch.from_numpy(value) for name, value in made.items()}
    outputs["identity"] = torch.tensor([0.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    loss = Lsda(LossSettings(name="lsda", variant=variant))  # type: ignore[arg-type]
    assert loss.pairs == (variant == "deepfakebench") and loss.methods
    given = Given(torch.from_numpy(labels).double(), torch.from_numpy(methods), torch.zeros(4, 3, 8, 8), None)
    terms = loss.terms(loss.reduced(outputs, given), given.labels, given.methods, 1)
    p = 1 / (1 + np.exp(-made["logit"]))
    logs = made["domains"] - np.log(np.exp(made["domains"]).sum(1, keepdims=True))
    errors = ((made["student"] - made["target"]) ** 2).mean((1, 2, 3))
    expected = {
        "cross_entropy": -np.mean(np.where(labels == 1, np.log(p), np.log(1 - p))),
        "domain": -np.mean(logs[np.arange(4), methods]),
        "distillation": errors[[0, 2]].mean() + errors[[1, 3]].mean(),
    }
    if variant == "deepfakebench":
        norms = np.linalg.norm(made["real"], axis=1)
        cosines = [(made["real"][i] * made["real"][i + 1]).sum(0) / (norms[i] * norms[i + 1]) for i in (0, 2)]
        expected["cosine"] = (1 - cosines[0]).sum() - (1 - cosines[1]).sum()
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(expected)
    weights = {"cross_entropy": 0.5, "domain": 1, "distillation": 1, "cosine": 1}
    assert float(loss.total(terms)) == pytest.approx(sum(weights[name] * value for name, value in expected.items()))


def test_each_image_goes_through_the_encoder_of_its_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target of a real is its encoder's map; of a fake, the fusion of what is varied and what is mixed."""
    torch.manual_seed(0)
    teaching = Teaching(encoder(), encoder, 2, WIDTH).eval()
    images, methods = torch.randn(4, 3, 32, 32), torch.tensor([0, 2, 0, 1])
    encoders = (teaching.real_encoder, *teaching.teachers)
    own = torch.cat([encoders[m](images[i : i + 1]) for i, m in enumerate(methods.tolist())])
    monkeypatch.setattr(lsda_training, "varied", lambda maps, *_: 2 * maps)
    monkeypatch.setattr(lsda_training, "mixed", lambda maps, _: 3 * maps)
    found = teaching(images, torch.zeros(4, WIDTH, 8, 8), methods)
    fused = teaching.fusion(torch.cat([2 * own, 3 * own], 1))
    for i, method in enumerate(methods.tolist()):
        torch.testing.assert_close(found["target"][i], fused[i] if method else own[i])
    torch.testing.assert_close(found["domains"], teaching.domains(own.mean((2, 3))))
    assert not found["real"].any()
    sided = Teaching(encoder(), encoder, 2, WIDTH, (0, 1, -1)).eval()
    found = sided(images, torch.zeros(4, WIDTH, 8, 8), methods)
    torch.testing.assert_close(found["real"], sided.real_encoder(images))
    assert found["identity"].tolist() == [0.0, -1.0, 0.0, 1.0]


def test_everything_learns() -> None:
    torch.manual_seed(0)
    model = Student(2, ())
    given = Given(torch.tensor([0.0, 1.0] * 4), torch.tensor([0, 1, 0, 2, 0, 1, 0, 2]), torch.randn(8, 3, 32, 32), None)
    loss = Lsda(LossSettings(name="lsda"))
    loss.total(
        loss.terms(loss.reduced(model.outputs(given.inputs, given), given), given.labels, given.methods, 1)
    ).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("name", ["paper", "release"])
def test_a_killed_training_goes_on_to_the_same_bits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**TRAININGS[name], "checkpoint_steps": 3}
    whole = train(tmp_path / "whole", **values)
    saved = loop.save_checkpoint
    held: list[str] = []

    def killed(out: Path, step: int, checkpoint: Any, *more: Any) -> None:
        saved(out, step, checkpoint, *more)
        held.extend(checkpoint.tensors)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", **values)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    again = train(tmp_path / "cut", resume=True, **values)
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()
    assert "teaching.fusion.0.weight" in held
    assert not any(name.startswith("teaching") for name in read_tensors(whole.weights)[0])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did."""
    out = tmp_path_factory.mktemp("two")
    done = fork("toy_lsda.py", str(out))
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_learn_what_one_learns(name: str, two: Path, tmp_path: Path) -> None:
    alone = train(tmp_path, **TRAININGS[name])
    report = json.loads((two / name / "fit.json").read_text())
    for one, both in zip(alone.curves, report["curves"], strict=True):
        assert [both[key] for key in one] == pytest.approx(list(one.values()), abs=1e-6)
    mine, theirs = read_tensors(alone.weights)[0], read_tensors(two / name / "model.safetensors")[0]
    torch.testing.assert_close(theirs, mine, rtol=1e-7, atol=1e-7)


def lsda(out: Path, options: dict[str, Any] | None = None, **values: Any) -> Any:
    """A job of the backend, with small encoders beside the student."""
    job = lsda_job(out, size=64, **{"epochs": 1, "batch_size": 8, "loss": {"name": "lsda"}, **values})
    made = {"teacher": "test_efficientnet", "real_encoder": "test_resnet", "drop_path_rate": 0.0, **(options or {})}
    return replace(job, card=job.card.model_copy(update={"backend": "lsda", "options": made}))


def test_the_number_of_manipulations_comes_from_the_data(tmp_path: Path) -> None:
    job = lsda(tmp_path)
    assert method_numbers(job) == {"Deepfakes": 1, "Face2Face": 2, "NeuralTextures": 3}
    model = LsdaDetector.in_training(LsdaDetector.options(job.card), job)
    assert len(model.teaching.teachers) == 3 and model.teaching.domains[-1].out_features == 4
    assert (
        "the real encoder is test_resnet, from random weights: the paper has an iResNet-100" in model.training_notes[0]
    )
    given = Given(torch.tensor([0.0, 1.0]), torch.tensor([0, 3]), torch.randn(2, 3, 64, 64), None)
    outputs = model.train().informed_outputs(given.inputs, given)
    assert tuple(outputs) == model.gives and outputs["target"].shape == outputs["student"].shape == (2, 512, 2, 2)
    plain = LsdaDetector.in_training(LsdaDetector.options(job.card), lsda(tmp_path, loss={"name": "cross-entropy"}))
    assert plain.gives == ("logit",) and not hasattr(plain, "teaching")


@pytest.mark.slow
def test_only_the_student_is_written(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    job = lsda(tmp_path, batch_size=8)
    short = [*[f for f in job.train if not f.label][:4], *[f for f in job.train if f.label][:4]]
    report = LsdaDetector.fit(replace(job, train=short, val=job.val[:2]))
    assert any("iResNet-100" in note for note in report.notes)
    assert set(read_tensors(report.weights)[0]) == set(LsdaDetector.build().state_dict())
    card = job.card.model_copy(update={"weights": str(report.weights)})
    detector = LsdaDetector.from_card(card, "cpu")
    assert np.isfinite(detector.predict([np.zeros((48, 48, 3), np.uint8)])).all()
    student = LsdaDetector.options(card.model_copy(update={"options": {"drop_path_rate": 0.0}}))
    assert LsdaDetector.hash(report.weights, student, card.input) == detector.fingerprint()


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    release = {"name": "lsda", "variant": "deepfakebench"}
    cases = [
        ({"teacher": "nonsense"}, {}, "timm's 'nonsense' cannot be an encoder"),
        ({"real_encoder": "test_vit"}, {}, "'test_vit'"),
        (
            {"keeps_identity": [], "swaps_identity": []},
            {"loss": release},
            r"name Deepfakes, Face2Face, NeuralTextures in",
        ),
    ]
    for options, values, message in cases:
        with pytest.raises(DetectorError, match=message) as error:
            LsdaDetector.fit(lsda(tmp_path, options, **values))
        assert "\n" not in str(error.value)
    job = lsda(tmp_path / "lone", loss=release)
    lone = [replace(f, video=f.id) for f in job.train]
    with pytest.raises(DataError, match="the loss needs pairs of a real and its fake"):
        LsdaDetector.fit(replace(job, train=lone))
