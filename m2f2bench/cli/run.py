"""The commands `run` and `predict`: detectors on datasets, and on single files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.text import visible
from .common import CamLayerOption, CamOption, CardsOption, DataOption, DeviceOption, JsonOption, echo_json, say, settle


def run(
    suite: Annotated[str | None, typer.Argument(help="A leaderboard card to run as a suite.")] = None,
    detector: Annotated[list[str] | None, typer.Option("--detector", "-d", help="Name, card or file.py:Class.")] = None,
    dataset: Annotated[list[str] | None, typer.Option("--dataset", "-s", help="Name, card or folder.")] = None,
    protocol: Annotated[list[str] | None, typer.Option("--protocol", "-p", help="Default: frame.")] = None,
    split: Annotated[str, typer.Option("--split")] = "test",
    limit: Annotated[int | None, typer.Option("--limit", help="Only N frames, evenly spread.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Default: runs/SUITE or runs/run.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Decoding threads; 0: one per core.")] = 0,
    export: Annotated[
        str | None,
        typer.Option("--export", metavar="m2f2", help="Also write answers in the format of M2F2-Det's output files."),
    ] = None,
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run detectors on datasets, print the leaderboard, write a folder for each run. An interrupted run is resumed."""
    settle(cards, data)
    from ..leaderboards.publish import describe_run, write_board
    from ..runs.run import DEFAULT_SUITE
    from ..runs.run import run as run_bench

    if suite is None and not detector and not dataset:
        suite = DEFAULT_SUITE
    folder = out or Path("runs") / (Path(suite).stem if suite else "run")
    results = run_bench(
        suite,
        detectors=detector or (),
        datasets=dataset or (),
        protocols=protocol or (),
        split=split,
        limit=limit,
        out=folder,
        batch_size=batch_size,
        workers=workers,
        device=device,
        export=export,
        cam=cam,
        cam_layer=cam_layer,
    )
    board = results.board()
    files = write_board(board, folder)
    if as_json:
        echo_json([result.to_json() for result in results])
    else:
        say(describe_run(board, results, folder, files))


def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="IMAGE|VIDEO|DIR...")],
    detector: Annotated[str, typer.Option("--detector", "-d", help="Name, card, folder or file.py:Class.")],
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames taken evenly from a video.")] = 32,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            "--heatmap", metavar="DIR", help="Write heat maps here: an overlay (PNG) and the map (NPY) for each file."
        ),
    ] = None,
    heatmap_scale: Annotated[
        str, typer.Option("--heatmap-scale", help="Colours: fixed (0 to 1) or image (the range of the map).")
    ] = "fixed",
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Also ask for reasons: image, skin, eyes, eyebrows, nose and mouth.")
    ] = False,
    question: Annotated[
        list[str] | None,
        typer.Option("--question", "-q", metavar="TEXT", help="Ask this question instead. Repeatable."),
    ] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print P(fake) and a verdict at 0.5 for your face crops: images, videos, or folders of them."""
    settle(cards)
    from ..inference.predict import predict_paths

    judge: Any = detector
    if cam or cam_layer:
        from ..core.errors import DetectorError
        from ..heatmaps.mapping import mapping_detector

        if heatmap is None:
            raise DetectorError("--cam needs a folder for the maps: give --heatmap DIR too")
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
