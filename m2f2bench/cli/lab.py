"""`train`, `predict`, `localize`, `sheet`: work with one detector or one dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.text import visible
from .common import CardsOption, DataOption, DeviceOption, JsonOption, echo_json, say, settle

if TYPE_CHECKING:
    from ..heatmaps.faithfulness_report import Faithfulness
    from ..heatmaps.localization_report import Localization

CamOption = Annotated[
    str,
    typer.Option(
        "--cam",
        metavar="METHOD",
        help="Class activation maps of a torch network in the place of its own maps: gradcam, gradcam++, hirescam, "
        "xgradcam, layercam, eigencam, scorecam (slow).",
    ),
]
CamLayerOption = Annotated[
    str, typer.Option("--cam-layer", metavar="NAME", help="The network's layer for --cam. Default: its last map.")
]


def train(
    detector: Annotated[str, typer.Argument(help="A trainable detector: name, card or file.py:Class.")],
    dataset: Annotated[str, typer.Option("--dataset", "-s", help="Its train split is used, never test.")],
    stage: Annotated[
        str, typer.Option("--stage", help="detector (P(fake)), align (projectors to the LLM), tune (LoRA on the LLM).")
    ] = "detector",
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="What the stage before trained. Default: DETECTOR itself."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: runs/trained/DETECTOR--DATASET.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was cut off.")] = False,
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of the card's.")] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Fit a detector and write its weights, its card and its training record."""
    settle(cards, data)
    from ..runs.train import RECORD
    from ..runs.train import train as fit
    from ..training.processes import is_main_process

    card = fit(detector, dataset, stage=stage, start=start, out=out, resume=resume, seed=seed, device=device)
    if not is_main_process():
        return
    record = json.loads((card.parent / RECORD).read_text(encoding="utf-8"))
    auc, stage = record["val_auc"], record["stage"]
    what = f"trained {record['detector']} on {record['dataset']}" + ("" if stage == "detector" else f", stage {stage}")
    say(what + ("" if auc is None else f": validation AUC {auc:.4f}"))
    for note in record["notes"]:
        say(f"note: {note}")
    say(f"written to {card.parent}; judge it with: m2f2bench run --detector {card.parent} --dataset ...")


def merge(
    detector: Annotated[str, typer.Argument(help="What stage tune (or align) trained: its folder or card.")],
    out: Annotated[Path, typer.Option("--out", help="The merged folder; it must not be there, or be empty.")],
    dtype: Annotated[str, typer.Option("--dtype", help="What the LLM is kept in: fp32, bf16, fp16.")] = "fp32",
    cards: CardsOption = None,
) -> None:
    """Fold an explainer's adapters into its LLM and write all it needs as one folder."""
    settle(cards)
    from ..detectors.m2f2det.merging import RECORD
    from ..runs.merge import merge as fold

    card = fold(detector, out, dtype)
    moved = json.loads((card.parent / RECORD).read_text(encoding="utf-8"))["largest_change_of_a_logit"]
    say(f"merged; the LLM's logits moved by {moved:.1e} at most on random tokens ({dtype})")
    say(f"written to {card.parent}; ask it with: m2f2bench run --detector {card.parent} -p explain-blind ...")


def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="Published weights, or the 7B model's folder.")],
    kind: Annotated[str, typer.Option("--as", help="m2f2det-released-detector or m2f2det-released-explainer.")],
    out: Annotated[Path, typer.Option("--out", help="The detector's folder; it must not be there, or be empty.")],
    vision_tower: Annotated[
        str | None,
        typer.Option(
            "--vision-tower",
            metavar="FILE|DIR|NAME",
            help="CLIP's image tower in the place of FILE's: a file, a CLIP's folder, or its name on the hub.",
        ),
    ] = None,
    detector_only: Annotated[
        bool, typer.Option("--detector-only", help="Leave the LLM of the 7B model's folder out.")
    ] = False,
) -> None:
    """Make a detector of published weights, without running anything in their file."""
    from ..detectors.m2f2det.released.importing import RECORD
    from ..detectors.m2f2det.released.importing import import_weights as fetch

    card = fetch(file, kind, out, vision_tower, detector_only)
    for note in json.loads((card.parent / RECORD).read_text(encoding="utf-8"))["notes"]:
        say(f"note: {note}")
    say(f"written to {card.parent}; judge it with: m2f2bench run --detector {card.parent} --dataset ...")


def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="IMAGE|VIDEO|DIR...")],
    detector: Annotated[str, typer.Option("--detector", "-d", help="Name, card, folder or file.py:Class.")],
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames taken evenly from a video.")] = 32,
    heatmap: Annotated[
        Path | None,
        typer.Option("--heatmap", metavar="DIR", help="Draw where: an overlay (PNG) and the map (NPY) for each file."),
    ] = None,
    heatmap_scale: Annotated[
        str, typer.Option("--heatmap-scale", help="Colours: fixed (0 to 1), image (the map's own range).")
    ] = "fixed",
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also ask why: about the image, skin, eyes, eyebrows, nose and mouth.")
    ] = False,
    question: Annotated[
        list[str] | None, typer.Option("--question", "-q", metavar="TEXT", help="Ask this instead; repeatable.")
    ] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """P(fake) and a verdict at 0.5 for face crops of your own: images, videos, or folders of them."""
    settle(cards)
    from ..inference.predict import predict_paths

    judge: Any = detector
    if cam or cam_layer:
        from ..core.errors import DetectorError
        from ..heatmaps.mapper import mapping_detector

        if heatmap is None:
            raise DetectorError("--cam says how maps are made, not where they go: give --heatmap DIR too")
        judge = mapping_detector(detector, device, cam, cam_layer)
    found = predict_paths(
        paths,
        judge,
        frames=frames,
        device=device,
        heatmaps=heatmap,
        heatmap_scale=heatmap_scale,
        explain=explain,
        questions=question or (),
    )
    if as_json:
        echo_json(found)
        return
    for item in found:
        score = "     –" if item["score"] is None else f"{item['score']:.4f}"
        say(f"{score}  {item['verdict'] or item['status']:<10}  {visible(item['path'])}  {item['message']}".rstrip())
        if "answers" in item:
            from ..inference.questions import transcript

            say(transcript(item), nl=False)
    if heatmap is not None:
        say(f"wrote {sum(item['heatmap'] is not None for item in found)} heat maps to {heatmap}")


def localize(
    detector: Annotated[str, typer.Option("--detector", "-d", help="One that makes heat maps.")],
    dataset: Annotated[
        str, typer.Option("--dataset", "-s", help="One with true masks, such as synthetic; with --faithfulness any.")
    ],
    split: Annotated[str, typer.Option("--split")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only N frames, evenly spread.")] = None,
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    faithfulness: Annotated[
        bool,
        typer.Option(
            "--faithfulness",
            help="Instead of masks: replace pixels in the map's order and watch the score (deletion, insertion, drop). "
            "Hundreds of forward passes a frame: see --limit.",
        ),
    ] = False,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Of a deletion or insertion curve.")] = 20,
    area: Annotated[float, typer.Option("--area", help="Share of the picture that is blurred for the drop.")] = 0.1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the report: .json (with every frame) or .md.")
    ] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold a detector's heat maps against true masks, or with --faithfulness against its own scores; and controls."""
    settle(cards, data)
    from ..core.errors import StoreError

    if out is not None and out.suffix not in (".json", ".md"):
        raise StoreError(f"--out {out}: its name must end in .json or .md")
    report: Localization | Faithfulness
    more: dict[str, Any] = {"split": split, "limit": limit, "device": device, "cam": cam, "cam_layer": cam_layer}
    if faithfulness:
        from ..heatmaps.faithfulness import faithfulness as test

        report = test(detector, dataset, steps=steps, area=area, **more)
    else:
        from ..heatmaps.localize import localize as hold

        report = hold(detector, dataset, **more)
    _tell(report, out, as_json)


def _tell(report: Localization | Faithfulness, out: Path | None, as_json: bool) -> None:
    """Print a report of heat maps, and write it where asked."""
    from ..core.files import write_json, write_text

    if out is not None and out.suffix == ".json":
        write_json(out, report.to_json(frames=True))
    elif out is not None:
        write_text(out, report.markdown())
    if as_json:
        echo_json(report.to_json())
        return
    say(report.markdown(), nl=False)
    if out is not None:
        say(f"\nwrote {out}")


def sheet(
    dataset: Annotated[str, typer.Argument(help="Name, card, folder or manifest.")],
    out: Annotated[Path, typer.Option("--out", help="A PNG file.")] = Path("sheet.png"),
    split: Annotated[str, typer.Option("--split")] = "test",
    per_method: Annotated[int, typer.Option("--per-method", min=1, help="Pictures a manipulation.")] = 8,
    masks: Annotated[bool, typer.Option("--masks", help="Draw the masks' outlines below each row.")] = False,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Draw a contact sheet: a row per manipulation, a column per person."""
    settle(cards, data)
    from ..datasets.sheet import contact_sheet
    from ..loading import load_dataset

    place = load_dataset(dataset)
    place.check_split(split)
    contact_sheet(place.adapter, split, out, per_method=per_method, masks=masks)
    say(f"wrote {out}")
