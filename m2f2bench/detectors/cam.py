"""Class activation maps (Grad-CAM and similar) of detectors made of one torch network, by the package `grad-cam`.

The target is the network's one logit, higher for fake: a map shows what speaks for a fake, whatever the verdict. Maps
keep the layer's own grid; each is divided by its own maximum (nothing is subtracted), so that a map of zeros stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..core.arithmetic import exact_fp32
from ..core.errors import DetectorError, near
from .base import Detector, Localizer, optional
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
"""Values of --cam, and the class of pytorch_grad_cam that computes each."""
AT_ONCE = 8
"""Most images in one pass: with gradients, the network keeps the maps of every layer in memory."""
MASKED_AT_ONCE = 16
"""Most masked pictures that Score-CAM scores in one pass."""


@dataclass(frozen=True)
class Layer:
    """A submodule whose output is a map, and how that output becomes float32 [B, c, h, w]."""

    name: str
    module: nn.Module
    to_map: Callable[[torch.Tensor], torch.Tensor]


class CamDetector(Detector, Localizer):
    """A detector with its own scores, and class activation maps of its network's logit instead of any maps of its own.

    Its name is the detector's followed by `+METHOD` (and `-LAYER` if one was named), so that maps of two kinds are
    never confused; weights, preprocessing and scores are the detector's.
    """

    def __init__(self, detector: Detector, method: str = "gradcam", layer: str = "") -> None:
        """`method` is one of METHODS; `layer` names a submodule of the network, empty for the last one with a map.

        Raises DetectorError unless the detector is a NetworkDetector, for an unknown method or layer, a network without
        maps, and if `grad-cam` is not installed.
        """
        if not isinstance(detector, NetworkDetector):
            raise DetectorError(
                f"detector '{detector.card.name}' is not a torch network, so --cam {method} cannot be computed: take "
                f"one of the backends tuned, timm or m2f2det, or one whose class is a NetworkDetector"
            )
        if method not in METHODS:
            raise DetectorError(f"unknown method --cam '{method}'{near(method, METHODS)}")
        self.detector, self.method = detector, method
        self.cam_class = optional(f"pytorch_grad_cam:{METHODS[method]}", "grad-cam", "cam", f"--cam {method}")
        if method == "scorecam" and getattr(_token_map(detector.model), "times", 1) > 1:
            raise DetectorError(f"detector '{detector.card.name}' judges clips, of which --cam scorecam has no maps")
        self.layer = find_layer(detector, layer)
        self.how = f"{method}-{self.layer.name}"
        """Method and layer, for the signature."""
        name = f"{detector.card.name}+{method}" + (f"-{layer}" if layer else "")
        self.card = detector.card.model_copy(update={"name": name})
        self.preprocessing, self.precision, self.seed = detector.preprocessing, detector.precision, detector.seed

    def prepare(self, image: Image) -> Any:
        """Prepare an image as the detector does."""
        return self.detector.prepare(image)

    def forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats:
        """Return the detector's P(fake), bit for bit."""
        return self.detector.forward(batch, ids)

    @property
    def in_background(self) -> bool:  # type: ignore[override]
        """See `Detector.in_background`."""
        return self.detector.in_background

    def begin_forward(self, batch: Sequence[Any], ids: Sequence[str]) -> Callable[[], Floats]:
        """See `Detector.begin_forward`."""
        return self.detector.begin_forward(batch, ids)

    def in_fp32(self, batch: Sequence[Any], ids: Sequence[str]) -> Floats | None:
        """See `Detector.in_fp32`."""
        return self.detector.in_fp32(batch, ids)

    def fingerprint(self) -> str:
        """Return the detector's fingerprint."""
        return self.detector.fingerprint()

    def unwrapped(self) -> Any:
        """Return the detector without its class activation maps."""
        return self.detector.unwrapped()

    def as_localizer(self) -> Localizer:
        """Return this object: its maps replace any maps of the detector."""
        return self

    def heatmap(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return maps, float32 [B, h, w] in [0, 1] on the layer's grid; an image's maximum is 1, or all values are 0.

        A map does not depend on the rest of the batch (up to rounding). The network keeps no hooks.
        """
        maps = [self._maps(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)]
        found = np.concatenate(maps)
        times = getattr(_token_map(self.detector.model), "times", 1)
        if times > 1 and found.shape[1] % times == 0:  # of a clip: the maps of its moments, one above the other
            found = found.reshape(len(found), times, -1, found.shape[2]).mean(axis=1)
        heat = np.maximum(found, 0.0)
        highest = heat.max(axis=(1, 2), keepdims=True)
        return np.asarray(np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0.0))

    def seen(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return the centre square of a picture, if the card's input crops to it; otherwise the whole."""
        return visible_region(height, width, self.detector.settings)

    @exact_fp32()
    def _maps(self, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        """Return maps [B, h, w] before ReLU and scaling."""
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
                    f"so {self.method} cannot be computed: choose another with --cam-layer"
                )
            if self.method == "scorecam":
                weights = _score_weights(self.detector, pixels.detach(), maps)
                return np.asarray((weights[:, :, None, None] * maps).sum(axis=1), dtype=np.float32)
            heat = cam.get_cam_image(pixels, self.layer.module, [], maps, slopes, False)  # only Score-CAM uses targets
        if self.method == "eigencam":
            # The sign of a principal component is arbitrary: the larger side counts as positive.
            heat = np.stack([-one if -one.min() > one.max() else one for one in heat])
        return np.asarray(heat, dtype=np.float32)


def _pixels(detector: NetworkDetector, images: Sequence[Image]) -> torch.Tensor:
    """Return the network's input, float32 [B, 3, S, S], as a copy that may take a gradient."""
    with torch.inference_mode():  # as in `forward`: both write into one buffer
        prepared = torch.from_numpy(np.stack([detector.prepare(image) for image in images]))
        pixels = detector.normalise(prepared.to(detector.device))
    with torch.inference_mode(False):
        return pixels.clone()


def _score_weights(
    detector: NetworkDetector, pixels: torch.Tensor, maps: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return Score-CAM's weight of each channel, [B, c].

    That is the softmax over channels of the picture's logit when masked with the channel's map scaled to [0, 1]; the
    baseline's logit cancels. A few masks at a time: the package holds all at once.
    """
    rows = []
    with torch.no_grad():
        for picture, channels in zip(pixels, torch.from_numpy(maps).to(pixels.device), strict=True):
            logits = []
            for part in channels.split(MASKED_AT_ONCE):
                large = nn.functional.interpolate(part[:, None], picture.shape[-2:], mode="bilinear")
                low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
                masked = picture[None] * ((large - low) / (high - low).clamp(min=1e-8))
                logits.append(detector.model(masked).reshape(len(part)))
            rows.append(torch.softmax(torch.cat(logits).cpu().double(), dim=0).float().numpy())
    return np.stack(rows)


def find_layer(detector: NetworkDetector, name: str = "") -> Layer:
    """Return the layer `name`, or else the last one with a map.

    In a vision transformer of timm (patch embedding, blocks), and in a network that names its layer of tokens
    (`token_map()`), the last one is the first norm of the last block, because after it only the class token may matter.
    In other networks, it is the last submodule to run whose output is a map of more than one cell. Raises DetectorError
    if there is no such layer, or if the layer `name` does not exist or has no map.
    """
    outputs, to_map = _outputs(detector), _to_map(detector.model)
    modules, own = dict(detector.model.named_modules()), detector.card.name
    if name and name not in modules:
        raise DetectorError(f"detector '{own}' has no layer '{name}'{near(name, outputs)}")
    if name and not _is_map(outputs.get(name), to_map):
        raise DetectorError(
            f"detector '{own}': layer '{name}' does not give a map [B, c, h, w] of several cells: choose "
            f"another with --cam-layer"
        )
    if not name:
        likely = [one for one, output in outputs.items() if one and output.ndim == 4]
        tower, named = _transformer(detector.model), _token_map(detector.model)
        if named is not None:
            likely.append(named.layer)
        elif tower is not None:
            likely.append(f"{tower}blocks.{len(modules[f'{tower}blocks']) - 1}.norm1")
        name = next((one for one in reversed(likely) if _is_map(outputs.get(one), to_map)), "")
    if not name:
        raise DetectorError(f"detector '{own}': no layer with a map was found: name one with --cam-layer")
    return Layer(name, modules[name], to_map)


def _outputs(detector: NetworkDetector) -> dict[str, torch.Tensor]:
    """Return all submodules' outputs for a grey picture that are one tensor, in the order in which they finish."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        found.pop(name, None)
        if isinstance(output, torch.Tensor):
            found[name] = output.detach()

    hooks = [module.register_forward_hook(partial(keep, name)) for name, module in detector.model.named_modules()]
    try:
        size = detector.settings.size
        with torch.no_grad():
            detector.model(_pixels(detector, [np.full((size, size, 3), 128, np.uint8)]))
    finally:
        for one in hooks:
            one.remove()
    return found


def _transformer(model: nn.Module) -> str | None:
    """Return the prefix of timm's vision transformer in a network ("" for the network itself); None without one."""
    for name, module in model.named_modules():
        if all(hasattr(module, part) for part in ("patch_embed", "blocks", "num_prefix_tokens")):
            return f"{name}." if name else ""
    return None


def _token_map(model: nn.Module) -> Any:
    """Return a network's own layer of tokens (layer, prefix, grid); None without one."""
    own = getattr(model, "token_map", None)
    return own() if callable(own) else None


def _to_map(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function from a layer's output to a map, float32 [B, c, h, w].

    Of tokens [B, n, d], the prefix tokens are dropped and the others placed on the grid of the patch embedding, else on
    a square; maps [B, h, w, c] are transposed.
    """
    tower = _transformer(model)
    owner = model if not tower else model.get_submodule(tower[:-1])
    prefix = int(getattr(owner, "num_prefix_tokens", 0))
    grid = getattr(getattr(owner, "patch_embed", None), "grid_size", None) or (0, 0)
    named = _token_map(model)
    if named is not None:
        prefix, grid = named.prefix, (named.times * named.grid[0], named.grid[1])
    last = getattr(model, "output_fmt", "") == "NHWC"

    def to_map(output: torch.Tensor) -> torch.Tensor:
        if output.ndim == 4:
            return (output.permute(0, 3, 1, 2) if last else output).float()
        patches = output[:, prefix:]
        side = round(patches.shape[1] ** 0.5)
        rows, columns = grid if grid[0] * grid[1] == patches.shape[1] else (side, side)
        return patches.transpose(1, 2).reshape(len(output), -1, rows, columns).float()

    return to_map


def _is_map(output: torch.Tensor | None, to_map: Callable[[torch.Tensor], torch.Tensor]) -> bool:
    """Return whether an output can be turned into a map of more than one cell."""
    if output is None or output.ndim not in (3, 4):
        return False
    try:
        return min(to_map(output).shape[1:]) > 0 and to_map(output)[0, 0].numel() > 1
    except RuntimeError:  # this number of tokens does not fill a grid
        return False
