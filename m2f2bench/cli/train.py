"""The commands `train`, `merge` and `import-weights`: where a detector's weights come from."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from . import complete
from .options import (
    CardsOption,
    CropOption,
    DataOption,
    DatasetNamed,
    DeviceOption,
    FacesOption,
    FinderOption,
    RedrawOption,
    settle,
)
from .output import say, say_wrapped, say_written

if TYPE_CHECKING:
    from ..cards.models import DetectorCard


def train(
    detector: Annotated[
        str,
        Argument(
            metavar="DETECTOR",
            autocompletion=complete.detectors,
            help="A trainable detector: name, card or file.py:Class.",
        ),
    ],
    dataset: Annotated[str, DatasetNamed(help="Its train split is used, never test.")],
    kind: Annotated[
        str | None,
        Option(
            "--as",
            metavar="NAME",
            autocompletion=complete.detectors,
            help="DETECTOR is a file of weights, from which the training of this detector starts.",
        ),
    ] = None,
    stage: Annotated[
        str, Option(help="detector (P(fake)), align (projectors to the LLM) or tune (LoRA on the LLM).")
    ] = "detector",
    start: Annotated[
        Path | None, Option("--from", metavar="DIR", help="The result of the previous stage. Default: DETECTOR.")
    ] = None,
    out: Annotated[Path | None, Option(help="Default: runs/trained/DETECTOR--DATASET.")] = None,
    resume: Annotated[bool, Option("--resume", help="Continue an interrupted training.")] = False,
    seed: Annotated[int | None, Option(help="Default: that of the card.")] = None,
    quick: Annotated[
        bool, Option("--quick", help="Scale the card's training to minutes on two cores; trains DETECTOR-quick.")
    ] = False,
    size: Annotated[
        int | None,
        Option(help="The pictures' side in pixels; trains DETECTOR-96px. Default: that of the card."),
    ] = None,
    precision: Annotated[
        str | None,
        Option(
            metavar="fp32|bf16|fp16",
            help="fp32, or mixed precision, which some processors do faster. Default: that of the card.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Option("--dry-run", help="Only print steps, images, validations, memory and, by a minute of it, the time."),
    ] = False,
    crop: CropOption = None,
    finder: FinderOption = "centerface",
    faces: FacesOption = "largest",
    device: DeviceOption = "auto",
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Train a detector; write its weights, its card and its training record."""
    settle(cards, data, redraw=redraw)
    from ..runs.train import train as fit
    from ..training.curves import RECORD
    from ..training.processes import is_main_process

    begun: str | DetectorCard = detector
    if kind is not None:
        from ..loading import detector_to_train

        begun = detector_to_train(detector, kind)
    how: dict[str, Any] = {"stage": stage, "start": start, "seed": seed, "device": device, "quick": quick}
    how |= {"precision": precision, "size": size, "crop": crop, "finder": finder, "faces": faces}
    if dry_run:
        from ..runs.training_plan import plan_training

        say(str(plan_training(begun, dataset, **how)))
        return
    card = fit(begun, dataset, out=out, resume=resume, **how)
    if not is_main_process():
        return
    record = json.loads((card.parent / RECORD).read_text(encoding="utf-8"))
    auc, stage = record["val_auc"], record["stage"]
    what = f"trained {record['detector']} on {record['dataset']}" + ("" if stage == "detector" else f", stage {stage}")
    say(what + ("" if auc is None else f": validation AUC {auc:.4f}"))
    _say_notes(record["notes"])
    place, on = shlex.quote(str(card.parent)), shlex.quote(dataset)
    calls = {
        "align": f"train {shlex.quote(detector)} -s {on} --stage tune --from {place}",
        "tune": f"merge {place} --out {place}-merged",
    }
    say_written(card.parent, calls.get(stage, f"run -d {place} -s {on}"))


def _say_notes(notes: list[str]) -> None:
    for note in notes:
        say_wrapped(f"note: {note}", " " * 6)


def merge(
    detector: Annotated[
        str, Argument(metavar="DETECTOR", help="The result of stage tune (or align): its folder or card.")
    ],
    out: Annotated[Path, Option(help="The new folder; it must not exist, or be empty.")],
    dtype: Annotated[str, Option(help="Precision of the LLM: fp32, bf16 or fp16.")] = "fp32",
    cards: CardsOption = None,
) -> None:
    """Merge an explainer's LoRA adapters into its LLM, and write all it needs into one folder."""
    settle(cards)
    from ..detectors.m2f2det.lora import RECORD
    from ..runs.merge import merge as fold

    card = fold(detector, out, dtype)
    moved = json.loads((card.parent / RECORD).read_text(encoding="utf-8"))["largest_change_of_a_logit"]
    say(f"merged; the LLM's logits changed by at most {moved:.1e} on random tokens ({dtype})")
    say_written(card.parent, f"run -d {shlex.quote(str(card.parent))} -s DATASET -p explain-blind")


def import_weights(
    file: Annotated[Path, Argument(metavar="FILE|DIR", help="Published weights, or the 7B model's folder.")],
    kind: Annotated[
        str,
        Option(
            "--as",
            help="What FILE is: deepfakebench-NAME, sbi, lsda, effort, univfd, gend, df40-clip, forada, or "
            "m2f2det-released-detector or -explainer.",
        ),
    ],
    out: Annotated[Path, Option(help="The detector's folder; it must not exist, or be empty.")],
    vision_tower: Annotated[
        str | None,
        Option(
            metavar="FILE|DIR|NAME",
            help="CLIP's image tower instead of the one in FILE, or for a FILE without one: a file, a folder of a "
            "CLIP, or its name on the hub.",
        ),
    ] = None,
    detector_only: Annotated[bool, Option("--detector-only", help="Without the LLM of the 7B model.")] = False,
) -> None:
    """Make a detector from published weights; no code in their file is run."""
    from ..detectors.published.importing import RECORD
    from ..detectors.published.importing import import_weights as fetch

    card = fetch(file, kind, out, vision_tower, detector_only)
    _say_notes(json.loads((card.parent / RECORD).read_text(encoding="utf-8"))["notes"])
    say_written(card.parent, f"run -d {shlex.quote(str(card.parent))} -s DATASET")
