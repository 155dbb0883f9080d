"""UCF: its terms by hand, the partners of its crossed reconstruction, and what is left of the network when trained."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_line import error_of
from toy_training import frames, toy_job
from toy_ucf import Encoder, paired, small, train, ucf_job

from m2f2bench.cards.settings import LossSettings
from m2f2bench.core.errors import DataError
from m2f2bench.core.tensors import read_tensors
from m2f2bench.detectors.cnn import ucf
from m2f2bench.detectors.cnn.ucf import UcfTraining, partners
from m2f2bench.detectors.cnn.ucf_decoder import Decoder, adain
from m2f2bench.detectors.network import Normalise, resize
from m2f2bench.detectors.published import parts
from m2f2bench.detectors.weights.load import shapes_of
from m2f2bench.training import loop
from m2f2bench.training.losses.base import Given
from m2f2bench.training.losses.make import make_loss, method_numbers
from m2f2bench.training.losses.ucf import reconstruction

PAPER, BENCH = LossSettings(name="ucf"), LossSettings(name="ucf", variant="deepfakebench")
LABELS = np.array([0, 1, 0, 1, 0, 1])
METHODS = np.array([0, 2, 0, 1, 0, 2])


def by_hand(points: np.ndarray, classes: np.ndarray, against: np.ndarray, itself: bool, margin: float = 3.0) -> float:
    """The contrast as loops over anchors, positives and negatives."""
    total = 0.0
    for side in (0, 1):
        of_anchors = []
        for a in np.flatnonzero(side == LABELS):
            positives = [p for p in range(6) if classes[p] == classes[a] and (itself or p != a)]
            negatives = [n for n in range(6) if against[n] != against[a]]
            far = [np.linalg.norm(points[a] - points[i]) for i in range(6)]
            hinges = [max(0.0, far[p] - far[n] + margin) for p, n in product(positives, negatives)]
            of_anchors += [np.mean(hinges)] if hinges else []
        total += np.mean(of_anchors) if of_anchors else 0.0
    return float(total)


def rows_of(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    shapes = {"logit": (6,), "specific_scores": (6, 3), "common": (6, 4), "specific": (6, 4)}
    made = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    made |= {name: rng.random(6) for name in ("own_error", "crossed_error")}
    return {name: torch.from_numpy(value) for name, value in made.items()}


@pytest.mark.parametrize("settings", [PAPER, BENCH])
def test_each_term_by_hand(settings: LossSettings) -> None:
    rows = rows_of(np.random.default_rng(0))
    labels, methods = torch.from_numpy(LABELS.astype(float)), torch.from_numpy(METHODS)
    found = make_loss(settings).terms(rows, labels, methods, 1)
    plain = {name: value.numpy() for name, value in rows.items()}
    chance = 1 / (1 + np.exp(-plain["logit"]))
    scores = np.exp(plain["specific_scores"])
    of_own = (scores / scores.sum(1, keepdims=True))[np.arange(6), METHODS]
    errors = plain["own_error"] + plain["crossed_error"]
    bench = settings.variant == "deepfakebench"
    contrast = by_hand(plain["common"], LABELS, LABELS, bench)
    contrast += by_hand(plain["specific"], METHODS, LABELS if bench else METHODS, bench)
    wanted = {
        "cross_entropy": -np.log(np.where(LABELS == 1, chance, 1 - chance)).mean(),
        "specific": -np.log(of_own).mean(),
        "reconstruction": errors[LABELS == 0].mean() + errors[LABELS == 1].mean(),
        "contrastive": contrast,
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(wanted)
    total = wanted["cross_entropy"] + 0.1 * wanted["specific"] + 0.3 * wanted["reconstruction"] + 0.05 * contrast
    assert make_loss(settings).total(found).item() == pytest.approx(total)


def test_the_contrast_of_three_points_on_a_line() -> None:
    """Reals at 0 and 1, a fake at 3: real anchors 1 - 3 + 3 and 1 - 2 + 3; the fake is alone in its class."""
    rows = rows_of(np.random.default_rng(0))
    rows = {name: value[:3] for name, value in rows.items()}
    line = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    rows |= {"common": line, "specific": torch.zeros(3, 1, dtype=torch.float64)}
    labels, methods = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0, 0, 1])
    found = make_loss(PAPER).terms(rows, labels, methods, 1)["contrastive"]
    assert found.item() == pytest.approx(1.5 + 3.0)  # all specific features in one place: 0 - 0 + 3
    found.backward()
    assert line.grad is not None and bool(line.grad.isfinite().all())
    # Itself as a positive: 0 and 1 of the reals, 0 of the fake, which is 3 and 2 away from them.
    theirs = make_loss(BENCH).terms(rows, labels, methods, 1)["contrastive"]
    assert theirs.item() == pytest.approx((0 + 1 + 1 + 2) / 4 + (0 + 1) / 2 + 3.0 + 3.0)


def test_reconstruction_is_the_sum_of_four_means() -> None:
    own, crossed = torch.tensor([1.0, 10.0, 3.0]), torch.tensor([100.0, 1000.0, 300.0])
    assert reconstruction(own, crossed, torch.tensor([0.0, 1.0, 0.0])).item() == 2 + 10 + 200 + 1000
    outputs = {name: torch.zeros(2, 3) for name in ("logit", "specific_scores", "common", "specific")}
    outputs |= {"own_reconstruction": torch.ones(2, 3, 4, 4), "crossed_reconstruction": torch.zeros(2, 3, 4, 4)}
    inputs = torch.stack([torch.full((3, 4, 4), 0.25), torch.full((3, 4, 4), -0.5)])
    rows = make_loss(PAPER).reduced(outputs, Given(torch.zeros(2), torch.zeros(2).long(), inputs, None))
    assert rows["own_error"].tolist() == [0.75, 1.5] and rows["crossed_error"].tolist() == [0.25, 0.5]


def test_adain_gives_the_moments_of_the_style() -> None:
    content, style = (torch.randn(2, 5, 6, 7, dtype=torch.float64) * s + s for s in (1.0, 3.0))
    found = adain(content, style).numpy()
    assert np.allclose(found.mean((2, 3)), style.numpy().mean((2, 3)))
    assert np.allclose(found.std((2, 3)), style.numpy().std((2, 3)), rtol=1e-4)
    corners = np.corrcoef(found[0, 0].ravel(), content[0, 0].numpy().ravel())
    assert corners[0, 1] == pytest.approx(1.0)  # the content's picture is as it was
    assert bool(adain(content[..., :1, :1], style[..., :1, :1]).isfinite().all())
    assert adain(content.half(), style.half()).dtype == torch.float32


class Seen(torch.nn.Module):
    """In place of the decoder: keeps what it is given."""

    def forward(self, content: torch.Tensor, forgery: torch.Tensor) -> torch.Tensor:
        self.content, self.forgery = content, forgery
        return content[:, :3].repeat(1, 1, 16, 16)


def test_a_crossed_reconstruction_has_its_own_content_and_its_partners_forgery(tmp_path: Path) -> None:
    model = small(ucf_job(tmp_path)).eval()  # nothing is shuffled
    model.con_gan = Seen()  # type: ignore[assignment]
    images = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        found = model.training_outputs(images)
        content, maps = model.encoder_c.features(images), model.encoder_f.features(images)
        forgery = torch.cat([model.block_spe(maps), model.block_sha(maps)], 1)
    seen: Any = model.con_gan
    assert torch.equal(seen.content, torch.cat([content, content]))
    assert torch.equal(seen.forgery, torch.cat([forgery, forgery[[1, 0, 3, 2, 5, 4]]]))
    assert set(found) == set(model.gives) and found["crossed_reconstruction"].shape == images.shape
    assert torch.equal(found["own_reconstruction"], content[:, :3].repeat(1, 1, 16, 16))
    assert partners(torch.arange(4)).tolist() == [1, 0, 3, 2]


def test_common_features_are_shuffled_within_a_class(tmp_path: Path) -> None:
    model = small(ucf_job(tmp_path)).train()
    rows = torch.arange(12.0).reshape(12, 1, 1, 1)
    shuffled, orders = 0, set()
    for seed in range(200):
        torch.manual_seed(seed)
        found = model.exchanged(rows).flatten().tolist()
        assert sorted(found[::2]) == list(range(0, 12, 2)) and sorted(found[1::2]) == list(range(1, 12, 2))
        shuffled += found != rows.flatten().tolist()
        orders.add(tuple(found))
    assert abs(shuffled / 200 - 0.7) < 4 * math.sqrt(0.21 / 200) and len(orders) > 100
    assert torch.equal(model.eval().exchanged(rows), rows)


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    with torch.device("meta"):
        own, whole = shapes_of(UcfTraining(2, 0.2, 4).state_dict()), shapes_of(ucf.Ucf(2, 0.2).state_dict())
    theirs = {name: shape for name, shape in parts.ucf().items() if not name.startswith(UcfTraining.spare)}
    assert own == whole | theirs
    assert sum(math.prod(shape) for shape in own.values()) + 2 * (2 * 2048 + 2) == 46_949_616  # both last layers
    assert {name.partition(".")[0] for name in theirs} == set(UcfTraining.training_only)


def test_the_decoder_fits_the_input() -> None:
    decoder = Decoder().eval()
    with torch.no_grad():
        found = decoder(torch.randn(1, 512, 2, 2), torch.randn(1, 512, 2, 2))
    assert found.shape == (1, 3, 64, 64) and float(found.abs().max()) <= 1.0


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """UCF with little encoders."""
    torch.set_num_threads(1)
    monkeypatch.setattr(ucf, "Xception", Encoder)


@pytest.mark.usefixtures("little")
def test_the_common_head_alone_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = ucf_job(tmp_path, epochs=1)
    made: list[UcfTraining] = []
    take = ucf.UcfDetector.in_training

    def kept(*given: Any) -> Any:
        made.append(take(*given))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(ucf.UcfDetector, "in_training", kept)
    report = ucf.UcfDetector.fit(replace(job, card=job.card.model_copy(update={"backend": "ucf", "options": {}})))
    assert made[0].head_spe.mlp[2].out_features == 3  # real, blend, swap
    stored = read_tensors(report.weights)[0]
    assert {name.partition(".")[0] for name in stored} == {"encoder_f", "block_sha", "head_sha"}
    card = job.card.model_copy(update={"backend": "ucf", "options": {}, "weights": str(report.weights)})
    detector = ucf.UcfDetector.from_card(card, "cpu")
    images = [job.read(frame) for frame in job.val]
    scores = np.asarray(detector.predict(images))
    inputs = Normalise(card.input)(torch.stack([torch.from_numpy(resize(one, card.input)) for one in images]))
    with torch.no_grad():
        for name, value in made[0].named_parameters():
            if name.startswith(UcfTraining.training_only):
                value.fill_(float("nan"))
        logits = made[0].eval()(inputs)
        assert bool(made[0].training_outputs(inputs[:2])["own_reconstruction"].isnan().any())
    assert np.allclose(scores, torch.sigmoid(logits).numpy(), atol=1e-6) and scores.std() > 0


@pytest.mark.usefixtures("little")
def test_with_cross_entropy_there_is_nothing_but_the_common_head(tmp_path: Path) -> None:
    job = ucf_job(tmp_path, loss={"name": "cross-entropy"})
    assert type(ucf.UcfDetector.in_training(ucf.UcfOptions(), job)) is ucf.Ucf


def test_the_number_of_methods_is_that_of_the_training_frames(tmp_path: Path) -> None:
    job = ucf_job(tmp_path)
    assert method_numbers(job) == {"blend": 1, "swap": 2}
    more = [replace(frame, method="third") if frame.label else frame for frame in paired("train", 2)]
    job = replace(job, train=job.train + more, val=[replace(job.val[-1], method="fourth")])
    assert small(job).head_spe.mlp[2].out_features == 4


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    lone = replace(ucf_job(tmp_path), train=frames(6, 6))
    with pytest.raises(DataError, match=r"needs pairs of a real and its fake, and no fake of the training split"):
        ucf.UcfDetector.fit(replace(lone, card=lone.card.model_copy(update={"backend": "ucf", "options": {}})))
    views = toy_job(tmp_path, loss={"name": "ucf"}, views=2)
    said = error_of(lambda: train(tmp_path / "views", views=2))
    assert views.settings.views == 2 and "needs at most 1 views of an image" in said
    source = {"source": {"name": "self-blended"}, "train_on": "real"}
    assert "needs pairs of a real and its fake, which a source" in error_of(lambda: train(tmp_path / "s", **source))


@pytest.mark.slow
def test_it_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the decoder's dropout and the shuffle, killed within the first epoch."""
    values: dict[str, Any] = {"decodes": True, "checkpoint_steps": 1}
    whole = train(tmp_path / "whole", **values)
    saved = loop.save_checkpoint

    def killed(*given: Any) -> None:
        saved(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", **values)
    monkeypatch.setattr(loop, "save_checkpoint", saved)
    again = train(tmp_path / "cut", resume=True, **values)
    assert again.curves == whole.curves and again.weights.read_bytes() == whole.weights.read_bytes()
