"""A tiny M2F2-Det with a tiny LLM behind it, in the folders that the three stages leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from toy_llm import tiny_llm
from toy_m2f2det import INPUT, toy_card, toy_network

from m2f2bench.cards.models import merged
from m2f2bench.core.tensors import write_tensors
from m2f2bench.runs.train import train

STAGE = {"batch_size": 8, "max_steps": 4, "lr": 1e-3, "precision": "fp32", "val_examples": 8, "checkpoint_steps": 2}
EXPLAINER = {
    "llm": {"name": "llm"},
    "prompt": {"style": "chat"},
    "forgery_grid": 2,
    "generation": {"max_new_tokens": 12, "batch_size": 16},
}


def card_file(folder: Path, name: str = "toy", stages: dict[str, Any] | None = None, **explainer: Any) -> Path:
    """The card of an explainer that is not trained, with the tiny LLM beside it (`llm`)."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "llm").exists():
        tiny_llm(folder / "llm")
    lora = {"lora": {"r": 4, "alpha": 8.0, "dropout": 0.1}}
    content = {
        "name": name,
        "backend": "m2f2det-explainer",
        "input": INPUT.model_dump(mode="json"),
        "options": {**toy_card().options, "explainer": merged(EXPLAINER, explainer)},
        "stages": merged({"align": STAGE, "tune": {**STAGE, **lora}}, stages or {}),
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def detector_folder(folder: Path, seed: int = 0, **options: Any) -> Path:
    """What stage `detector` leaves: random weights pass for trained ones."""
    network = toy_network(seed, **options)
    folder.mkdir(parents=True)
    write_tensors(folder / "model.safetensors", network.state_dict(), {"architecture": "m2f2det paper"})
    card = toy_card(**options).model_copy(update={"weights": "model.safetensors", "training_datasets": ("before",)})
    text = yaml.safe_dump(card.model_dump(mode="json", exclude_defaults=True))
    (folder / "card.yaml").write_text(text)
    return folder


def stages(folder: Path, dataset: Any, **explainer: Any) -> dict[str, Path]:
    """Train `align` and `tune` on a dataset; the folders by stage."""
    card = card_file(folder, **explainer)
    found = {"detector": detector_folder(folder / "detector")}
    found["align"] = train(
        str(card), dataset, stage="align", start=found["detector"], out=folder / "align", device="cpu"
    ).parent
    found["tune"] = train(
        str(card), dataset, stage="tune", start=found["align"], out=folder / "tune", device="cpu"
    ).parent
    return found
