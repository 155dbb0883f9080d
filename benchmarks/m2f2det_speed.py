"""The published M2F2-Det at full size: the reference's whole forward pass against ours, and `run` against ours.

Random weights, batches of 8 noise images, one process, in turn. The reference computes all 24 CLIP layers
(transformers' CLIPVisionModel, its own matrix product and attention), EfficientNet-B4 and the head; its bridge, a
constant, is left out to its advantage. Asked of ours: at least 1.8 times as many images a second in fp32, 3 times with
CLIP in bf16, and `run` at most 1.05 times its bare forward pass, four frames that it judges again included. How far
P(fake) moves is in the table too. With --forward the part about `run` is left out, which takes a quarter of an hour on
two cores; the others take two minutes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from common import BarePass, make_frames, report, sized
from torch import nn
from torch.nn import functional as F

from m2f2bench.cards.settings import CLIP_MEAN, CLIP_STD
from m2f2bench.core.tensors import write_tensors
from m2f2bench.detectors.m2f2det.clip import VisionSettings
from m2f2bench.detectors.m2f2det.released.network import ReleasedDetector, ReleasedOptions

BATCH, ROUNDS, FRAMES = sized((8, 2, 192), (2, 1, 4))
FULL = VisionSettings(
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=24,
    num_attention_heads=16,
    image_size=336,
    patch_size=14,
)
VISION = sized(FULL, FULL.model_copy(update={"hidden_size": 64, "intermediate_size": 64, "image_size": 56}))
OPTIONS = ReleasedOptions(variant="released-detector", vision=VISION, width=1792, cnn_width=1792, constant=128)


class Reference(nn.Module):
    """The reference's forward pass from the same weights."""

    def __init__(self, network: ReleasedDetector) -> None:
        """Shares projections, CNN and head with `network`, and copies its tower."""
        super().__init__()
        from transformers import CLIPVisionConfig, CLIPVisionModel

        self.vision = CLIPVisionModel(CLIPVisionConfig(**VISION.model_dump()))
        self.network = network
        tower = getattr(self.vision, "vision_model", self.vision)
        missing, unexpected = tower.load_state_dict(network.vision.state_dict(), strict=False)
        assert not unexpected and all(
            "layers.23." in n or "post_layernorm" in n or "position_ids" in n for n in missing
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """P(fake), [B], of normalised images."""
        n = self.network
        state = self.vision(pixels, output_hidden_states=True).hidden_states[-2]
        first = _project(n.vision_proj, state[:, 0]) * n.vision_alpha
        pooled = _project(n.deepfake_proj, F.adaptive_avg_pool2d(n.cnn(pixels), 1).flatten(1))
        parts = torch.cat([first, n.bridge.expand(len(pixels), -1), pooled], dim=1)
        return F.linear(parts, n.output.weight, n.output.bias).softmax(1)[:, 1]


def _project(projection: nn.Module, x: torch.Tensor) -> torch.Tensor:
    linear, norm = projection.children()
    return norm(F.linear(x, linear.weight, linear.bias))


def main() -> None:
    torch.manual_seed(0)
    network = ReleasedDetector(OPTIONS).eval().requires_grad_(False)
    for name, value in network.named_parameters():
        if "embedding" in name:
            nn.init.normal_(value, std=0.02)
    reference = Reference(network).eval()
    pixels = torch.randn(BATCH, 3, VISION.image_size, VISION.image_size)
    plain, half = _ours(network, bf16=False), _ours(network, bf16=True)
    runs: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "reference, fp32": reference,
        "ours, fp32": lambda x: plain(x.contiguous(memory_format=torch.channels_last)).sigmoid(),
        "ours, CLIP in bf16": lambda x: half(x.contiguous(memory_format=torch.channels_last)).sigmoid(),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    scores: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for forward in runs.values():
            forward(pixels[:2])  # warms up
        for _ in range(ROUNDS):
            for name, forward in runs.items():
                start = time.perf_counter()
                scores[name] = forward(pixels)
                times[name].append(time.perf_counter() - start)
    base, truth = times["reference, fp32"], scores["reference, fp32"]
    rows = []
    for name, asked in zip(runs, ("", ">= 1.8", ">= 3.0"), strict=True):
        ratios = [a / b for a, b in zip(base, times[name], strict=True)]
        seconds = statistics.median(times[name])
        rows.append(_row(name, seconds, statistics.median(ratios), asked, float((scores[name] - truth).abs().max())))
    if "--forward" not in sys.argv:
        rows.append(_run_row(plain))
    report(rows)


def _row(what: str, seconds: float, ratio: float, asked: str, moved: float | str) -> dict[str, object]:
    speed = BATCH / seconds
    return {"what": what, "s_per_8": seconds, "images_per_s": speed, "ratio": ratio, "asked": asked, "P_moves": moved}


def _ours(network: ReleasedDetector, bf16: bool) -> ReleasedDetector:
    """A copy as a loaded detector has it."""
    copy = ReleasedDetector(OPTIONS).eval().requires_grad_(False)
    copy.load_state_dict(network.state_dict())
    if bf16:
        copy.vision.bfloat16()
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _run_row(network: ReleasedDetector) -> dict[str, object]:
    """`run` on JPEG files against the bare forward pass on the same frames, decoded and normalised."""
    import m2f2bench
    from m2f2bench.runs import detection as local  # noqa: F401 - imported before the clock starts
    from m2f2bench.stats.delong import auc_or_none

    auc_or_none([0, 1], [0.0, 1.0])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_tensors(root / "model.safetensors", network.state_dict())
        inputs = {"size": VISION.image_size, "fit": "centre", "mean": [*CLIP_MEAN], "std": [*CLIP_STD]}
        card = {"name": "random", "backend": "m2f2det", "weights": "model.safetensors", "input": inputs}
        (root / "card.yaml").write_text(yaml.safe_dump({**card, "options": OPTIONS.model_dump(mode="json")}))
        make_frames(root / "faces", FRAMES)
        detector = m2f2bench.load_detector(str(root), device="cpu")
        bare_pass = BarePass(detector, root / "faces", BATCH)

        def run() -> float:
            begin = time.perf_counter()
            m2f2bench.run(detectors=detector, datasets=str(root / "faces"), out=root / "out", batch_size=BATCH)
            return (time.perf_counter() - begin) / FRAMES

        bare, whole = bare_pass.beside(run)
    return _row(f"run / bare forward, {FRAMES} frames", whole * BATCH, whole / bare, "<= 1.05", "")


if __name__ == "__main__":
    main()
