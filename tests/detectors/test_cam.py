"""Class activation maps of torch networks: by hand on a small one, shapes on real ones, and nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import InputSettings
from m2f2bench.core.errors import DetectorError
from m2f2bench.detectors.cam import METHODS, CamDetector, find_layer
from m2f2bench.detectors.controls import RandomDetector
from m2f2bench.detectors.network import NetworkDetector
from m2f2bench.heatmaps.mapping import HeatMapper, mapping_detector
from m2f2bench.loading import load_detector

pytest.importorskip("pytorch_grad_cam", reason="the extra [cam] is not installed")
GRADIENT = [name for name in METHODS if name not in ("eigencam", "scorecam")]


class Network(NetworkDetector):
    """A network of torch's own."""

    @classmethod
    def fit(cls, job):
        raise NotImplementedError


class Small(nn.Module):
    """Convolution, ReLU, mean, linear: Grad-CAM of it can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=4, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(5, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.conv(pixels)).mean((2, 3)))


def network(model: nn.Module, size: int = 32, fit: str = "squash") -> Network:
    detector = Network(model, InputSettings(size=size, fit=fit), "cpu", "x")
    detector.card = DetectorCard(name="net", backend="x")
    return detector


def small(seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return network(Small())


def timm_network(name: str, size: int, **more: object) -> Network:
    import timm

    torch.manual_seed(1)
    return network(timm.create_model(name, num_classes=1, **more), size)


@pytest.fixture
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (40, 36, 3), dtype=np.uint8) for _ in range(11)]


def by_hand(detector: Network, pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The last map A [B, c, h, w], and the gradient of the logit by it, which is each channel's weight over h · w."""
    model = detector.model
    with torch.inference_mode():
        pixels = detector.normalise(torch.from_numpy(np.stack([detector.prepare(p) for p in pictures])))
        maps = model.act(model.conv(pixels)).numpy()
    slope = model.head.weight.detach().numpy()[0] / maps[0, 0].size
    return maps, np.broadcast_to(slope[None, :, None, None], maps.shape)


def scaled(heat: np.ndarray) -> np.ndarray:
    heat = np.maximum(heat, 0.0)
    highest = heat.max((1, 2), keepdims=True)
    return np.where(highest > 0, heat / np.where(highest > 0, highest, 1.0), 0.0)


def test_grad_cam_by_hand(pictures) -> None:
    detector = small()
    maps, slope = by_hand(detector, pictures)
    expected = scaled((slope.mean((2, 3), keepdims=True) * maps).sum(1))
    found = CamDetector(detector, "gradcam").heatmap(pictures)
    assert found.shape == (11, 8, 8) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (found.max((1, 2)) == 1.0).all() and (found == 0.0).any()
    np.testing.assert_allclose(CamDetector(detector, "hirescam").heatmap(pictures), expected, atol=1e-6)
    layer = scaled((np.maximum(slope, 0.0) * maps).sum(1))
    np.testing.assert_allclose(CamDetector(detector, "layercam").heatmap(pictures), layer, atol=1e-6)


def test_score_cam_by_hand(pictures) -> None:
    detector = small(3)
    maps, _ = by_hand(detector, pictures[:2])
    expected = []
    for picture, channels in zip(pictures[:2], maps, strict=True):
        with torch.inference_mode():
            pixels = detector.normalise(torch.from_numpy(detector.prepare(picture))[None]).clone()
            large = nn.functional.interpolate(torch.from_numpy(channels)[:, None], (32, 32), mode="bilinear")[:, 0]
            logits = []
            for one in large:
                spread = float(one.max() - one.min())
                logits.append(float(detector.model(pixels * ((one - one.min()) / max(spread, 1e-8)))))
        weight = np.exp(np.array(logits) - max(logits))
        expected.append((weight[:, None, None] / weight.sum() * channels).sum(0))
    found = CamDetector(detector, "scorecam").heatmap(pictures[:2])
    np.testing.assert_allclose(found, scaled(np.stack(expected)), atol=1e-5)


def test_eigen_cam_has_the_stronger_side_up(pictures) -> None:
    detector = small()
    maps, _ = by_hand(detector, pictures)
    for one, found in zip(maps, CamDetector(detector, "eigencam").heatmap(pictures), strict=True):
        cells = one.reshape(5, -1).T.astype(np.float64)
        cells -= cells.mean(0)
        _, vectors = np.linalg.eigh(cells.T @ cells)
        line = (cells @ vectors[:, -1]).reshape(8, 8)
        line = -line if -line.min() > line.max() else line
        np.testing.assert_allclose(found, scaled(line[None])[0], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_scores_stay_and_nothing_is_left_behind(method: str, pictures) -> None:
    detector = small()
    before = detector.predict(pictures)
    state = {name: value.clone() for name, value in detector.model.state_dict().items()}
    cam = CamDetector(detector, method)
    with torch.inference_mode():  # as if somebody called it from there
        together = cam.heatmap(pictures)
    alone = np.concatenate([cam.heatmap([picture]) for picture in pictures])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    detector.predict(pictures[:1])  # what it leaves in a buffer of inference mode must not be in the way
    assert CamDetector(detector, method).heatmap(pictures[:1]).shape == (1, 8, 8)
    assert together.min() >= 0.0 and together.max() <= 1.0
    assert (detector.predict(pictures) == before).all() and (cam.predict(pictures) == before).all()
    for name, value in detector.model.state_dict().items():
        assert torch.equal(value, state[name])
    for module in detector.model.modules():
        assert not module._forward_hooks and not module._backward_hooks and not module.training
    assert all(not p.requires_grad and p.grad is None for p in detector.model.parameters())


def test_a_map_of_zeros_stays_one(pictures) -> None:
    detector = small()
    with torch.no_grad():
        detector.model.head.weight.copy_(-detector.model.head.weight.abs())
    assert not CamDetector(detector, "gradcam").heatmap(pictures).any(), "nothing speaks for a fake"


@pytest.mark.parametrize(
    ("name", "size", "more", "layer", "shape"),
    [
        ("vit_tiny_patch16_224", 224, {"depth": 2}, "blocks.1.norm1", (14, 14)),
        ("deit_tiny_distilled_patch16_224", 224, {"depth": 2}, "blocks.1.norm1", (14, 14)),
        ("vit_tiny_patch16_224", (64, 96), {"depth": 1, "img_size": (64, 96)}, "blocks.0.norm1", (4, 6)),
        ("resnet10t", 64, {}, "layer4", (2, 2)),
        ("tf_efficientnet_lite0", 64, {}, "bn2", (2, 2)),
        ("convnext_atto", 64, {}, "norm_pre", (2, 2)),
        ("swin_tiny_patch4_window7_224", 224, {"depths": (1, 1, 1, 1)}, "norm", (7, 7)),
    ],
)
def test_the_last_map_is_found(name: str, size: object, more: dict, layer: str, shape: tuple[int, int]) -> None:
    """A class token, two of them, an oblong grid, CNNs, and one with its channels last."""
    detector = timm_network(name, 224 if isinstance(size, tuple) else size, **more)
    if isinstance(size, tuple):
        detector.prepare = lambda image: np.ascontiguousarray(np.resize(image, (*size, 3)))
        detector.normalise = lambda pixels: pixels.permute(0, 3, 1, 2).float() / 255
    cam = CamDetector(detector, "layercam")
    assert cam.how == f"layercam-{layer}"
    rng = np.random.default_rng(0)
    found = cam.heatmap([rng.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(2)])
    assert found.shape == (2, *shape) and set(found.max((1, 2)).tolist()) == {1.0}


def test_the_class_token_is_not_on_the_map() -> None:
    """The network's own gradient at the layer, laid out by hand: the first token is left out, rows come first."""
    detector = timm_network("vit_tiny_patch16_224", 224, depth=1)
    picture = np.random.default_rng(8).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    held: list[torch.Tensor] = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        held.append(output)

    hook = detector.model.blocks[0].norm1.register_forward_hook(keep)
    pixels = detector.normalise(torch.from_numpy(detector.prepare(picture))[None]).clone().requires_grad_(True)
    detector.model(pixels).sum().backward()
    hook.remove()
    tokens, slope = held[0].detach()[0, 1:].numpy(), held[0].grad[0, 1:].numpy()
    expected = scaled((tokens * slope.mean(0)).sum(1).reshape(1, 14, 14))
    np.testing.assert_allclose(CamDetector(detector, "gradcam").heatmap([picture]), expected, atol=1e-5)


def test_a_layer_by_name(pictures) -> None:
    detector = timm_network("resnet10t", 64)
    cam = CamDetector(detector, "layercam", "layer2")
    assert cam.heatmap(pictures[:1]).shape == (1, 8, 8) and cam.how == "layercam-layer2"
    assert cam.card.name == "net+layercam-layer2" and cam.fingerprint() == detector.fingerprint()
    with pytest.raises(DetectorError, match=r"has no layer 'layer9'; did you mean"):
        find_layer(detector, "layer9")
    for flat in ("global_pool", "fc"):
        with pytest.raises(DetectorError, match=f"layer '{flat}' does not give a map"):
            find_layer(detector, flat)
    with pytest.raises(DetectorError, match=r"unknown method --cam 'gradcan'; did you mean 'gradcam'"):
        CamDetector(detector, "gradcan")
    with pytest.raises(DetectorError, match=r"'plain' is not a torch network"):
        plain = RandomDetector()
        plain.card = DetectorCard(name="plain", backend="random")
        CamDetector(plain, "gradcam")
    with pytest.raises(DetectorError, match=r"no layer with a map was found"):
        CamDetector(network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1))), "gradcam")


def test_a_layer_that_the_score_does_not_rest_on(pictures) -> None:
    class Aside(Small):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 3)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            score = super().forward(pixels)
            self.aside(pixels)
            return score

    with pytest.raises(DetectorError, match=r"does not depend on layer 'aside', so gradcam cannot be computed"):
        CamDetector(network(Aside()), "gradcam").heatmap(pictures[:1])
    assert CamDetector(network(Aside()), "gradcam", "act").heatmap(pictures[:1]).shape == (1, 8, 8)


def test_the_seen_part(pictures) -> None:
    cam = CamDetector(network(Small(), fit="centre"), "gradcam")
    assert HeatMapper(cam).seen(np.zeros((40, 80, 3), np.uint8)) == (0.0, 0.25, 1.0, 0.75)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder as training leaves it: a narrow ResNet with random weights."""
    import timm

    from m2f2bench.core.tensors import write_tensors

    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(2)
    narrow = {"channels": [8, 8, 16, 16], "stem_width": 8}
    model = timm.create_model("resnet10t", num_classes=1, **narrow)
    write_tensors(folder / "model.safetensors", model.state_dict(), {})
    (folder / "card.yaml").write_text(
        "name: narrow\nbackend: timm\nweights: model.safetensors\ninput: {size: 64}\n"
        f"options: {{model: resnet10t, model_kwargs: {json.dumps(narrow)}}}\n"
    )
    return folder


def test_predict_draws_them(cli, one_line, trained: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    words = ("predict", "--no-faces", tmp_path / "a.png", "-d", trained, "--device", "cpu")
    plain = json.loads(cli(*words, "--json").out)[0]
    done = cli(*words, "--heatmap", tmp_path / "maps", "--cam", "gradcam++", "--cam-layer", "layer3", "--json")
    assert done.status == 0, done.err
    (row,) = json.loads(done.out)
    assert row["score"] == plain["score"]
    assert np.load(Path(row["heatmap"]).with_suffix(".npy")).shape == (4, 4)
    assert json.loads((tmp_path / "maps" / "heatmaps.json").read_text())["detector"] == "narrow+gradcam++-layer3"
    with Image.open(row["heatmap"]) as picture:
        assert "detector narrow+gradcam++-layer3" in picture.info["Description"]
    other = one_line(cli(*words, "--heatmap", tmp_path / "maps", "--cam", "gradcam"))
    assert "holds heat maps of detector 'narrow+gradcam++-layer3'" in other
    assert "give --heatmap DIR too" in one_line(cli(*words, "--cam", "gradcam"))
    assert "give --cam too" in one_line(cli(*words, "--heatmap", tmp_path / "m", "--cam-layer", "layer3"))
    line = one_line(
        cli(
            "predict", "--no-faces", tmp_path / "a.png", "-d", "random", "--heatmap", tmp_path / "m", "--cam", "gradcam"
        )
    )
    assert "'random' is not a torch network" in line and "timm or m2f2det" in line
    assert "--cam gradcam" in one_line(cli(*words, "--heatmap", tmp_path / "m")), "who has no map is told of it"


def test_localize_says_how(cli, one_line, trained: Path, squares: Path, tmp_path: Path) -> None:
    card = tmp_path / "faces.yaml"
    card.write_text(
        f"name: faces\nadapter: synthetic\noptions: {{test: 2, train: 2, val: 2, videos_per_identity: 1, "
        f"frames_per_video: 1, size: 64, methods: [swap], cache: {tmp_path / 'cache'}, workers: 1}}\n"
    )
    done = cli("localize", "-d", trained, "-s", card, "--cam", "layercam", "--json", "--device", "cpu")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    weights = load_detector(str(trained)).fingerprint()
    assert found["detector"] == "narrow+layercam" and found["signature"].endswith("|map:2x2-layercam-layer4")
    assert f"|weights:{weights}|" in found["signature"] and found["metrics"]["iou"]["value"] is not None
    assert "grad-cam" in found["versions"]
    text = cli("localize", "-d", trained, "-s", card, "--cam", "layercam", "--device", "cpu").out
    assert "each map is scaled by its own highest value: its mean value is no score" in text
    words = ("localize", "-d", trained, "-s", squares, "--cam", "eigencam", "--faithfulness", "--steps", "2")
    tested = json.loads(cli(*words, "--limit", "4", "--json", "--device", "cpu").out)
    assert tested["signature"].endswith("|map:2x2-eigencam-layer4|steps:2|area:0.1|blur:0.05")
    assert tested["passes"] == 4 * (1 + 2 + 4 * (4 + 1))


def test_its_own_map_is_used_unless_asked(trained: Path) -> None:
    with pytest.raises(DetectorError, match="makes no heat maps"):
        HeatMapper(mapping_detector(str(trained), "cpu"))
    assert HeatMapper(mapping_detector(str(trained), "cpu", "gradcam")).how == "gradcam-layer4"


def test_a_package_without_the_method_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import pytorch_grad_cam

    monkeypatch.delattr(pytorch_grad_cam, "HiResCAM")
    with pytest.raises(DetectorError, match=r"^--cam hirescam needs the package grad-cam \(.*HiResCAM.*\): run `pip"):
        CamDetector(small(), "hirescam")


@pytest.mark.slow
def test_without_the_package_the_extra_is_named(trained: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'pytorch_grad_cam':\n"
        "            raise ModuleNotFoundError(f\"No module named '{name}'\")\n"
        "sys.meta_path.insert(0, Block())\n"
        "from m2f2bench.cli.main import main\n"
        "main()\n"
    )
    words = ["predict", "--no-faces", tmp_path / "a.png", "-d", trained, "--heatmap", tmp_path / "maps"]
    line = [sys.executable, "-c", code, *map(str, words)]
    blocked = subprocess.run([*line, "--cam", "gradcam"], capture_output=True, text=True)
    assert blocked.returncode == 2 and len(blocked.stderr.strip().splitlines()) == 1, blocked.stderr
    assert "needs the package grad-cam" in blocked.stderr and "pip install 'm2f2bench[cam]'" in blocked.stderr
    assert not (tmp_path / "maps").exists()
