"""Backend `forada`: Forensics Adapter, trained with a frozen CLIP, or imported."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ...cards.models import DetectorCard, validate
from ...training.device import own_draws
from ...training.job import FitReport, TrainingJob, finished_report
from ...training.processes import together
from ..base import file_fingerprint, trained_weights
from ..network import NetworkDetector, Normalise, resize
from ..tuned.backbones import Backbone, empty_backbone, open_backbone
from ..tuned.options import BackboneSource, TransformersSource, TunedOptions
from ..weights.load import load_weights
from ..weights.undrawn import Undrawn
from .boundary import BoundaryHead
from .network import ForadaOptions, ForensicsAdapter

ARCHITECTURE = "CLIPVisionModelWithProjection"


class ForadaDetector(NetworkDetector):
    """Forensics Adapter (Cui et al., CVPR 2025), without the layers that its code draws anew in each pass."""

    @classmethod
    def from_card(cls, card: DetectorCard, device: str = "auto") -> ForadaDetector:
        """Load the card's weights. Raises DetectorError for an untrained card and weights that do not fit."""
        options, path = forada_options(card), trained_weights(card)
        clip = empty_backbone(clip_source(options), f"detector '{card.name}'").module
        with Undrawn():
            model = ForensicsAdapter(clip, options, card.input.size)
        load_weights(model, path)
        content = options.model_dump_json(exclude={"contrast_after"})
        return cls(model, card.input, device, file_fingerprint(path, content, str(card.input)))

    @classmethod
    def fit(cls, job: TrainingJob) -> FitReport:
        """Train everything but CLIP. Raises as `fit_network`, and DetectorError for layers that are not there."""
        from ...training.network import Network, fit_network

        done = finished_report(job)
        if done is not None:
            return done
        settings = job.card.input
        options = forada_options(job.card)
        with together(), own_draws():
            torch.manual_seed(job.settings.seed)
            model, clip = build(options, job.card)
            if job.settings.loss.name == "forada":
                model.boundary = BoundaryHead(options)
        assert clip.source.transformers is not None
        network = Network(
            model=model,
            prepare=partial(resize, settings=settings),
            normalise=Normalise(settings),
            frozen=("clip",),
            metadata={"architecture": "forada", "input": str(settings)},
            options={"clip": clip.source.transformers.model_dump(mode="json")},
            outputs=model.training_outputs,
            gives=model.gives,
            training_only=() if model.boundary is None else ("boundary",),
            informed=True,
            input=settings,
        )
        return fit_network(job, network)


def build(options: ForadaOptions, card: DetectorCard) -> tuple[ForensicsAdapter, Backbone]:
    """Return the network before training, and its CLIP. Raises DetectorError."""
    clip = open_backbone(clip_source(options), card.folder, f"detector '{card.name}'")
    return ForensicsAdapter(clip.module, options, card.input.size), clip


def clip_source(options: ForadaOptions) -> TunedOptions:
    """Return which CLIP the options name, as a backbone with a projected feature."""
    clip: TransformersSource = options.clip.model_copy(update={"architecture": ARCHITECTURE})
    return TunedOptions(backbone=BackboneSource(transformers=clip), feature="projected", tune="probe")


def forada_options(card: DetectorCard) -> ForadaOptions:
    """Return the card's options, checked. Raises CardError."""
    found: Any = validate(ForadaOptions, card.options, f"options of detector '{card.name}'")
    assert isinstance(found, ForadaOptions)
    return found
