"""Losses by name, and what each needs of a network and of a dataset."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...cards.settings import LossSettings
from ...core.errors import CardError, DataError
from ...core.records import FAKE
from .base import TrainingLoss

if TYPE_CHECKING:
    from ..job import TrainingJob

LOSSES: dict[str, str] = {
    "am-softmax": "am_softmax:AMSoftmax",
    "core": "core:Core",
    "cross-entropy": "base:CrossEntropy",
    "effort": "effort:Effort",
    "forada": "forada:Forada",
    "forgery-map": "forgery_map:ForgeryMapLoss",
    "gend": "gend:GenD",
    "lsda": "lsda:Lsda",
    "recce": "recce:Recce",
    "ucf": "ucf:Ucf",
}
"""The name on a card, to module and class."""


def make_loss(settings: LossSettings) -> TrainingLoss:
    """Return the loss that a card's `training.loss` names. Raises CardError for a variant or term it does not have."""
    cls: Any = pkgutil.resolve_name(f"{__package__}.{LOSSES[settings.name]}")
    made: TrainingLoss = cls(settings)
    return made


def training_loss(job: TrainingJob, gives: Sequence[str]) -> TrainingLoss | None:
    """Return the loss of a job, checked against a network that `gives` outputs; None for plain cross-entropy.

    Raises CardError if the network, the views or the dataset do not fit the loss.
    """
    settings, where = job.settings, f"detector '{job.card.name}'"
    chosen = chosen_loss(job)
    loss = make_loss(chosen)
    if missing := [name for name in loss.needs if name not in gives]:
        raise CardError(
            f"{where}: loss '{loss.name}' needs the output '{missing[0]}', which backend '{job.card.backend}' with "
            f"these options does not give (it gives {', '.join(gives)}): set training.loss to another"
        )
    fewest, most = loss.fewest_views(), loss.views[1]
    if not fewest <= settings.views <= most:
        wanted = f"at least {fewest}" if settings.views < fewest else f"at most {most}"
        raise CardError(
            f"{where}: loss '{loss.name}' ({loss.variant}) needs {wanted} views of an image, and training.views is "
            f"{settings.views}"
        )
    _check_data(job, loss, where)
    plain = loss.name == "cross-entropy" and settings.views == 1 and not chosen.weights
    return None if plain else loss


def chosen_loss(job: TrainingJob) -> LossSettings:
    """Return the card's loss, or plain cross-entropy where its masks are optional and the dataset has none."""
    own = job.settings.loss
    gives_way = own.masks == "optional" and job.mask is None and job.settings.source is None
    return LossSettings() if gives_way and make_loss(own).masks else own


def _check_data(job: TrainingJob, loss: TrainingLoss, where: str) -> None:
    if job.settings.source is not None:
        if loss.pairs:
            raise CardError(
                f"{where}: loss '{loss.name}' needs pairs of a real and its fake, which a source does not give"
            )
    elif loss.masks and job.mask is None:
        raise DataError(
            f"{where}: loss '{loss.name}' needs masks of the manipulated pixels, and the dataset has none: use one "
            "with masks (synthetic, deepfakebench), another training.loss, or `masks: optional` in it"
        )


def method_numbers(job: TrainingJob) -> dict[str, int]:
    """Return the numbers of the manipulations of the training split, from 1, in the order of their names."""
    names = sorted({frame.method for frame in job.train if frame.label == FAKE})
    return {name: number for number, name in enumerate(names, start=1)}
