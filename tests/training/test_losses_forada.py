"""Loss of Forensics Adapter by hand: the boundary of a mask, cells, pairs of patches, all terms; refusals."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_losses import mask
from toy_training import frame, toy_job

from m2f2bench.cards.settings import LossSettings
from m2f2bench.core.errors import DataError
from m2f2bench.training.losses.base import Given
from m2f2bench.training.losses.forada import (
    Forada,
    between_images,
    blending_boundary,
    boundary_cells,
    cell_shares,
    contrasted,
    share_lost,
)
from m2f2bench.training.losses.make import training_loss

OUTPUTS = ("logit", "boundary", "patches", "clip_patches")


def boundary_by_hand(mask: np.ndarray) -> np.ndarray:
    """4 m (1 - m), pixel by pixel, of a mask [H, W] blurred with 1 2 1 / 2 4 2 / 1 2 1 over 16."""
    size, found = len(mask), np.zeros_like(mask)
    near = lambda i: -i if i < 0 else 2 * size - 2 - i if i >= size else i  # noqa: E731
    for y in range(size):
        for x in range(size):
            for dy, a in ((-1, 1), (0, 2), (1, 1)):
                for dx, b in ((-1, 1), (0, 2), (1, 1)):
                    found[y, x] += a * b / 16 * mask[near(y + dy), near(x + dx)]
    return 4 * found * (1 - found)


def test_the_boundary_of_a_half() -> None:
    """Columns 0 0 0 1 1 1 become 0 0 1/4 3/4 1 1, and 4 m (1 - m) of a quarter is three quarters."""
    half = torch.zeros(1, 6, 6)
    half[:, :, 3:] = 1
    assert blending_boundary(half)[0].tolist() == [[0.0, 0.0, 0.75, 0.75, 0.0, 0.0]] * 6


def test_the_boundary_of_any_mask() -> None:
    soft = np.random.default_rng(0).random((7, 7))
    torch.testing.assert_close(blending_boundary(torch.from_numpy(soft)[None])[0].numpy(), boundary_by_hand(soft))
    for value in (0.0, 1.0):
        assert not blending_boundary(torch.full((1, 5, 5), value)).any()


def test_cells_of_a_mask() -> None:
    """Of four cells of 100 pixels: none, 10 (not more than a tenth), 11 and all are forged."""
    one = torch.zeros(1, 20, 20)
    one[0, 0, 10:] = 1
    one[0, 10, :10] = one[0, 11, 0] = 1
    one[0, 10:, 10:] = 41 / 255
    assert cell_shares(one, 2).flatten().tolist() == pytest.approx([0.0, 0.1, 0.11, 1.0])
    assert boundary_cells(one, 2).flatten().tolist() == [False, False, True, False]
    assert not cell_shares(torch.full((1, 4, 4), 40 / 255), 2).any()


def sums_by_hand(patches: np.ndarray, forged: np.ndarray, absent: bool) -> tuple[float, float]:
    """Sums over pairs of patches [N, d] of one image and layer: real and real, forged and real."""
    same = other = 0.0
    for i, a in enumerate(patches):
        for j, b in enumerate(patches):
            value = math.exp(float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)) / 0.5)
            same += value if not forged[i] and not forged[j] else float(absent)
            other += value if forged[i] and not forged[j] else float(absent)
    return same, other


@pytest.mark.parametrize("absent", [False, True])
def test_sums_over_pairs_of_patches(absent: bool) -> None:
    rng = np.random.default_rng(1)
    patches, forged = rng.normal(size=(2, 3, 5, 4)), rng.random((2, 5)) > 0.5
    found = contrasted(torch.from_numpy(patches), torch.from_numpy(forged), absent)
    for row in range(2):
        for layer in range(3):
            expected = sums_by_hand(patches[row, layer], forged[row], absent)
            assert [float(one[row, layer]) for one in found] == pytest.approx(expected)


def test_without_real_patches_nothing_is_compared() -> None:
    patches = torch.randn(1, 1, 3, 4, requires_grad=True)
    lost = share_lost(*contrasted(patches, torch.ones(1, 3, dtype=torch.bool), absent=False)).sum()
    lost.backward()
    assert lost.item() == 0.0 and patches.grad is not None and not patches.grad.any()


def test_the_kth_real_meets_the_kth_fake() -> None:
    """Two reals of one patch each, (1, 0) and (0, 1), and one fake (1, 0): only the first real is drawn."""
    points = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
    assert float(between_images(points, torch.tensor([0.0, 1.0, 0.0]))) == pytest.approx(math.log(2))
    orthogonal = between_images(points[[2, 1]], torch.tensor([0.0, 1.0]))
    assert float(orthogonal) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 1)))
    assert float(between_images(points, torch.zeros(3))) == 0.0


@pytest.mark.parametrize("variant", ["paper", "deepfakebench"])
def test_all_terms_by_hand(variant: str) -> None:
    """Two reals and two fakes of 8 × 8 pixels and 2 × 2 cells; one fake is forged in two cells, one in three."""
    rng = np.random.default_rng(2)
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    masks = np.zeros((4, 8, 8))
    masks[1, :, :4], masks[2, 4:], masks[2, :2, :2], masks[0] = 1, 0.5, 1, 0.7  # a real's mask has no effect
    shapes = {"logit": (4,), "boundary": (4, 8, 8), "patches": (4, 2, 4, 3), "clip_patches": (4, 4, 3)}
    made = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    outputs = {name: torch.from_numpy(value) for name, value in made.items()}
    given = Given(torch.from_numpy(labels), None, torch.zeros(4, 3, 8, 8), torch.from_numpy(masks))
    loss = Forada(LossSettings(name="forada", variant=variant))  # type: ignore[arg-type]
    found = {k: float(v) for k, v in loss.terms(loss.reduced(outputs, given), given.labels, None, 1).items()}

    p = 1 / (1 + np.exp(-made["logit"]))
    targets = np.stack([boundary_by_hand(masks[i]) * labels[i] for i in range(4)])
    forged = {1: np.array([True, False, True, False]), 2: np.array([True, False, True, True])}
    absent = variant == "deepfakebench"

    def lost(of: dict[int, np.ndarray]) -> float:
        sums = np.sum([sums_by_hand(of[i], forged[i], absent) for i in (1, 2)], axis=0)
        return -math.log(sums[0] / sums.sum())

    unit = made["clip_patches"] / np.linalg.norm(made["clip_patches"], axis=-1, keepdims=True)
    same = sum(np.exp(2 * unit[i] @ unit[i].T).sum() for i in (0, 3))
    other = sum(np.exp(2 * unit[i] @ unit[j].T).sum() for i, j in ((0, 1), (3, 2)))
    assert found == {
        "cross_entropy": pytest.approx(float(-np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p)))),
        "boundary": pytest.approx(float(((made["boundary"] - targets) ** 2).mean())),
        "intra": pytest.approx(sum(lost({i: made["patches"][i, layer] for i in (1, 2)}) for layer in range(2))),
        "clip_intra": pytest.approx(
            lost({i: made["clip_patches"][i] for i in (1, 2)}) - math.log(same / (same + other))
        ),
    }
    weights = {"cross_entropy": 10, "boundary": 200, "intra": 20, "clip_intra": 10}
    terms = {name: torch.tensor(value) for name, value in found.items()}
    assert float(loss.total(terms)) == pytest.approx(sum(w * found[name] for name, w in weights.items()))


def test_a_batch_of_reals_has_a_loss() -> None:
    outputs = {"logit": torch.zeros(2), "boundary": torch.zeros(2, 8, 8)}
    outputs |= {"patches": torch.randn(2, 1, 4, 3), "clip_patches": torch.randn(2, 4, 3)}
    given = Given(torch.zeros(2), None, torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8))
    loss = Forada(LossSettings(name="forada"))
    found = loss.terms(loss.reduced(outputs, given), given.labels, None, 1)
    assert [float(found[name]) for name in ("boundary", "intra", "clip_intra")] == [0.0, 0.0, 0.0]


def test_a_dataset_without_masks_is_one_line(tmp_path: Path) -> None:
    job = toy_job(tmp_path, loss={"name": "forada"})
    with pytest.raises(DataError, match=r"loss 'forada' needs masks of .* pixels, and the dataset has none"):
        training_loss(job, OUTPUTS)
    job = toy_job(tmp_path, loss={"name": "forada"}, source={"name": "self-blended"}, train_on="real")
    assert training_loss(job, OUTPUTS) is not None  # a source makes masks


def test_the_toy_has_boundaries() -> None:
    assert boundary_cells(torch.from_numpy(mask(frame(3, 1)))[None].float(), 4).any()
    assert not mask(frame(3, 0)).any()
