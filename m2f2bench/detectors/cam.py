"""Class activation maps (Grad-CAM and its kin) of any detector made of one torch network, by the package `grad-cam`.

The target is the network's one logit, the higher the more fake: a map says what speaks for a fake, whatever the
verdict. Maps keep the layer's own grid; each is divided by its own highest value (nothing is subtracted), so that a map
of zeros stays one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, first_line, near
from .base import Detector, Localizer
from .network import NetworkDetector, visible_region

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.records import Floats, Image

METHODS = {
    "gradcam": "GradCAM",  # Selvaraju et al., ICCV 2017
    "gradcam++": "GradCAMPlusPlus",  # Chattopadhyay et al., WACV 2018
    "hirescam": "HiResCAM",  # Draelos and Carin, 2020, arXiv 2011.08891
    "xgradcam": "XGradCAM",  # Fu et al., BMVC 2020
    "layercam": "LayerCAM",  # Jiang et al., IEEE TIP 2021
    "eigencam": "EigenCAM",  # Muhammad and Yeasin, IJCNN 2020
    "scorecam": "ScoreCAM",  # Wang et al., CVPR workshops 2020
}
"""What --cam takes, and the class of pytorch_grad_cam that computes it."""
AT_ONCE = 8
"""Images that go through the network together at most: with gradients it keeps every layer's maps."""
MASKED_AT_ONCE = 16
"""Masked pictures that Score-CAM judges together."""


@dataclass(frozen=True)
class Layer:
    """A submodule whose output is a map, and how that output becomes float32 [B, c, h, w]."""

    name: str
    module: nn.Module
    to_map: Callable[[torch.Tensor], torch.Tensor]


class CamLocalizer(Localizer):
    """Class activation maps of a network's logit at one layer."""

    def __init__(self, detector: NetworkDetector, method: str = "gradcam", layer: str = "") -> None:
        """`method` is one of METHODS; `layer` names a submodule of the network, empty for `last_map`.

        Raises DetectorError for an unknown method or layer, a network without maps, and where `grad-cam` is not
        installed.
        """
        if method not in METHODS:
            raise DetectorError(f"--cam '{method}' is not known{near(method, METHODS)}")
        self.detector, self.method = detector, method
        self.cam_class = _library(method)
        self.layer = find_layer(detector, layer)
        self.how = f"{method}-{self.layer.name}"
        """Method and layer, for the signature."""

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Float32 [B, h, w] in [0, 1] on the layer's grid; an image's highest value is 1, or all are 0.

        A map does not depend on the rest of the batch (up to rounding), the network is left as it was, without hooks.
        """
        maps = [self._maps(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)]
        heat = np.maximum(np.concatenate(maps), 0.0)
        highest = heat.max(axis=(1, 2), keepdims=True)
        return np.asarray(np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0.0))

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """The centre square of a picture, where the card's input cuts it out."""
        return visible_region(height, width, self.detector.settings)

    @exact_fp32()
    def _maps(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Maps [B, h, w] before ReLU and scaling."""
        pixels = _pixels(self.detector, images)
        with torch.inference_mode(False), torch.enable_grad():
            pixels.requires_grad_(True)  # the weights take no gradient
            cam = self.cam_class(self.detector.model, [self.layer.module], reshape_transform=self.layer.to_map)
            try:
                logits = cam.activations_and_grads(pixels).reshape(len(images))
                if cam.uses_gradients:
                    logits.sum().backward()
                held = cam.activations_and_grads
                maps = held.activations[-1].numpy()
                slopes = held.gradients[0].numpy() if held.gradients else None
            finally:
                cam.activations_and_grads.release()
            if cam.uses_gradients and slopes is None:
                raise DetectorError(
                    f"detector '{self.detector.card.name}': the score does not depend on layer '{self.layer.name}', "
                    f"so it has no {self.method}: name another with --cam-layer"
                )
            if self.method == "scorecam":
                weights = _score_weights(self.detector, pixels.detach(), maps)
                return np.asarray((weights[:, :, None, None] * maps).sum(axis=1), dtype=np.float32)
            targets = [_Logit()] * len(images)
            heat = cam.get_cam_image(pixels, self.layer.module, targets, maps, slopes, False)
        if self.method == "eigencam":  # a principal component has no sign: the stronger side is up
            heat = np.stack([-one if -one.min() > one.max() else one for one in heat])
        return np.asarray(heat, dtype=np.float32)


class CamDetector(Detector, Localizer):
    """A detector with its own scores, and class activation maps in the place of any maps of its own.

    Its name is the detector's with `+METHOD` after it (and `-LAYER` where one was named), so that maps of two kinds are
    never taken for each other; weights, preprocessing and scores are the detector's.
    """

    def __init__(self, detector: NetworkDetector, method: str = "gradcam", layer: str = "") -> None:
        """See CamLocalizer."""
        self.detector, self.cam = detector, CamLocalizer(detector, method, layer)
        name = f"{detector.card.name}+{method}" + (f"-{layer}" if layer else "")
        self.card = detector.card.model_copy(update={"name": name})
        self.preprocessing, self.precision, self.seed = detector.preprocessing, detector.precision, detector.seed
        self.how = self.cam.how

    def prepare(self, image: Image) -> Any:
        """As the detector does."""
        return self.detector.prepare(image)

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """The detector's P(fake), to the bit."""
        return self.detector.forward(batch, ids)

    def fingerprint(self) -> str:
        """The detector's."""
        return self.detector.fingerprint()

    def unwrapped(self) -> Any:
        """Return the detector without its class activation maps."""
        return self.detector.unwrapped()

    def as_localizer(self) -> Localizer:
        """Return this object: it draws class activation maps, whatever maps the detector has."""
        return self

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """See `CamLocalizer.heatmap`."""
        return self.cam.heatmap(images)

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """See `CamLocalizer.seen`."""
        return self.cam.seen(height, width)


def with_cam(detector: Detector, method: str, layer: str = "") -> CamDetector:
    """The detector with class activation maps. Raises DetectorError for one that is no torch network; see
    CamLocalizer."""
    if not isinstance(detector, NetworkDetector):
        raise DetectorError(
            f"detector '{detector.card.name}' is no torch network, so there is no --cam {method} of it: take one of "
            f"the backends timm or m2f2det, or one whose class is a NetworkDetector"
        )
    return CamDetector(detector, method, layer)


class _Logit:
    """The target of a map: the one logit."""

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        return output.sum()


def _library(method: str) -> Any:
    """The class that computes a method. Raises DetectorError where the package is not there or does not load."""
    try:
        return getattr(importlib.import_module("pytorch_grad_cam"), METHODS[method])
    except (ImportError, AttributeError, OSError) as error:
        raise DetectorError(
            f"--cam {method} needs the package grad-cam ({first_line(error)}): run `pip install 'm2f2bench[cam]'`"
        ) from None


def _pixels(detector: NetworkDetector, images: Sequence[Image]) -> torch.Tensor:
    """The network's input, float32 [B, 3, S, S], in memory of its own that may take a gradient."""
    with torch.inference_mode():  # as in `forward`: both write into one buffer
        prepared = torch.from_numpy(np.stack([detector.prepare(image) for image in images]))
        pixels = detector.normalise(prepared.to(detector.device))
    with torch.inference_mode(False):
        return pixels.clone()


def _score_weights(
    detector: NetworkDetector, pixels: torch.Tensor, maps: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Score-CAM's weight of each channel, [B, c]: the softmax over channels of the logit of the picture seen through
    the channel's map scaled to [0, 1] (the baseline's logit cancels). A few at a time: the package holds all at once.
    """
    rows = []
    with torch.no_grad():
        for picture, channels in zip(pixels, torch.from_numpy(maps).to(pixels.device), strict=True):
            logits = []
            for part in channels.split(MASKED_AT_ONCE):
                large = nn.functional.interpolate(part[:, None], picture.shape[-2:], mode="bilinear")
                low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
                masked = picture[None] * ((large - low) / (high - low).clamp(min=1e-8))
                logits.append(detector.model(masked).reshape(len(part)).double())
            rows.append(torch.softmax(torch.cat(logits), dim=0).float().cpu().numpy())
    return np.stack(rows)


def find_layer(detector: NetworkDetector, name: str = "") -> Layer:
    """The layer `name`, or the last one with a map.

    That is, in a vision transformer of timm's (patch embedding, blocks), the first norm of the last block: after it
    only the class token may count. Else it is the last submodule to run whose output is a map of more than one cell.
    Raises DetectorError where there is none, or `name` is none.
    """
    outputs = _outputs(detector)
    modules = dict(detector.model.named_modules())
    to_map = _to_map(detector.model)
    own = detector.card.name
    if name:
        if name not in modules:
            raise DetectorError(f"detector '{own}' has no layer '{name}'{near(name, outputs)}")
        if not _is_map(outputs.get(name), to_map):
            raise DetectorError(
                f"detector '{own}': layer '{name}' gives no map [B, c, h, w] of several cells, so there is no "
                f"activation map of it: name another with --cam-layer"
            )
        return Layer(name, modules[name], to_map)
    tower = _transformer(detector.model)
    if tower is not None:
        name = f"{tower}blocks.{len(modules[f'{tower}blocks']) - 1}.norm1"
        if _is_map(outputs.get(name), to_map):
            return Layer(name, modules[name], to_map)
    spatial = [one for one, output in outputs.items() if one and output.ndim == 4 and _is_map(output, to_map)]
    if not spatial:
        raise DetectorError(f"detector '{own}' has no layer with a map that is found by itself: name one, --cam-layer")
    return Layer(spatial[-1], modules[spatial[-1]], to_map)


def _outputs(detector: NetworkDetector) -> dict[str, torch.Tensor]:
    """Each submodule's output for a grey picture, those that give one tensor, in the order in which they end."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            found.pop(name, None)
            if isinstance(output, torch.Tensor):
                found[name] = output.detach()

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in detector.model.named_modules()]
    try:
        size = detector.settings.size
        with torch.no_grad():
            detector.model(_pixels(detector, [np.full((size, size, 3), 128, np.uint8)]))
    finally:
        for one in hooks:
            one.remove()
    return found


def _transformer(model: nn.Module) -> str | None:
    """The prefix of timm's vision transformer in a network (`` for the network itself), None where there is none."""
    for name, module in model.named_modules():
        if all(hasattr(module, part) for part in ("patch_embed", "blocks", "num_prefix_tokens")):
            return f"{name}." if name else ""
    return None


def _to_map(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """From a layer's output to a map, float32 [B, c, h, w]: tokens [B, n, d] without the prefix tokens on the patches'
    grid, maps [B, h, w, c] of a network that has its channels last turned."""
    tower = _transformer(model)
    owner = model if not tower else model.get_submodule(tower[:-1])
    prefix = int(getattr(owner, "num_prefix_tokens", 0))
    last = getattr(model, "output_fmt", "") == "NHWC"

    def to_map(output: torch.Tensor) -> torch.Tensor:
        if output.ndim == 4:
            return (output.permute(0, 3, 1, 2) if last else output).float()
        patches = output[:, prefix:]
        rows, columns = _grid(owner, patches.shape[1])
        return patches.transpose(1, 2).reshape(len(output), -1, rows, columns).float()

    return to_map


def _grid(owner: nn.Module, patches: int) -> tuple[int, int]:
    """Rows and columns of so many patches: the patch embedding's, else a square."""
    grid = getattr(getattr(owner, "patch_embed", None), "grid_size", None)
    if grid is not None and grid[0] * grid[1] == patches:
        return int(grid[0]), int(grid[1])
    side = round(patches**0.5)
    return side, side


def _is_map(output: torch.Tensor | None, to_map: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    """Whether an output can be brought to a map of more than one cell."""
    if output is None or output.ndim not in (3, 4):
        return False
    try:
        return min(to_map(output).shape[1:]) > 0 and to_map(output)[0, 0].numel() > 1
    except RuntimeError:  # so many tokens are no grid
        return False
