"""The commands `run`, `predict` and `localize`: detectors on datasets, on single files, and their heat maps."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..cards.folders import DEFAULT_SUITE, find_card
from ..core.text import visible
from . import complete
from .options import (
    AddressOption,
    AsOption,
    CamLayerOption,
    CamOption,
    CardsOption,
    CropOption,
    DataOption,
    DatasetNamed,
    DetectorNamed,
    DeviceOption,
    EngineOption,
    FacesOption,
    FakeClassOption,
    FinderOption,
    GPUsOption,
    JsonOption,
    PrecisionOption,
    ProtocolNamed,
    RedrawOption,
    SignaturesOption,
    SplitOption,
    TrustOption,
    WorkersOption,
    given,
    settle,
)
from .output import echo_json, in_terminal, print_report, require_report_ending, say, show, with_signatures

log = logging.getLogger("m2f2bench")


def run(
    suite: Annotated[
        str | None,
        Argument(metavar="SUITE", autocompletion=complete.boards, help="A leaderboard card to run as a suite."),
    ] = None,
    detector: Annotated[
        list[str] | None,
        DetectorNamed(help="Name, card or file.py:Class; 'runs/seed*': one detector, several trainings."),
    ] = None,
    dataset: Annotated[list[str] | None, DatasetNamed(help="Name, card or folder.")] = None,
    protocol: Annotated[list[str] | None, ProtocolNamed(help="Default: frame.")] = None,
    kind: AsOption = None,
    fake_class: FakeClassOption = None,
    trust: TrustOption = False,
    split: SplitOption = "test",
    limit: Annotated[int | None, Option(help="Only N frames, evenly spread.")] = None,
    out: Annotated[Path | None, Option(help="Default: runs/SUITE or runs/run.")] = None,
    batch_size: Annotated[int, Option(min=1, help="Frames judged at once.")] = 32,
    workers: WorkersOption = 0,
    engine: EngineOption = "local",
    gpus_per_worker: GPUsOption = None,
    address: AddressOption = None,
    export: Annotated[
        str | None, Option(metavar="m2f2", help="Also write answers in the format of M2F2-Det's output files.")
    ] = None,
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    crop: CropOption = None,
    finder: FinderOption = "centerface",
    faces: FacesOption = "largest",
    shard: Annotated[
        str | None, Option(metavar="K/N", help="Judge part K of N, in whole videos; run without it scores all parts.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    signatures: SignaturesOption = None,
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run detectors on datasets, print the leaderboard, write a folder for each run. An interrupted run is resumed."""
    settle(cards, data, redraw=redraw)
    if suite is None and not detector and not dataset:
        suite = DEFAULT_SUITE
    if suite is not None and (find_card("leaderboards", suite) is not None or Path(suite).is_file()):
        log.info("%s: loading the libraries", suite)  # before the imports, which take seconds
    from ..leaderboards.render import describe_run, write_board
    from ..runs.run import run as run_bench

    folder = out or run_folder(suite)
    results = run_bench(
        suite,
        detectors=given(detector or (), kind, fake_class, trust),
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
        crop=crop,
        finder=finder,
        faces=faces,
        shard=shard,
        engine=engine,
        gpus_per_worker=gpus_per_worker,
        address=address,
        precision=precision,
    )
    if shard is not None:
        say(f"shard {shard} is judged, in {folder}: when all are, the same command without --shard scores them")
        if as_json:
            echo_json([])
        return
    board = results.board()
    files = write_board(board, folder)
    if as_json:
        echo_json([result.to_json() for result in results])
    else:
        kept = with_signatures(signatures)
        show(describe_run(board, results, folder, files, kept) + "\n", kept)
        if in_terminal() and len({row.detector for row in board.table.rows}) > 1:
            say(f"next:  m2f2bench compare {shlex.quote(str(folder))}{' --seeds' * results.seeds}")


def run_folder(suite: str | None) -> Path:
    """Return the folder that `run` writes without --out."""
    return Path("runs") / (Path(suite).stem if suite else "run")


def predict(
    paths: Annotated[list[Path], Argument(metavar="IMAGE|VIDEO|DIR", help="Photos and videos with faces.")],
    detector: Annotated[str, DetectorNamed(help="Name, card, folder or file.py:Class.")],
    kind: AsOption = None,
    fake_class: FakeClassOption = None,
    trust: TrustOption = False,
    frames: Annotated[int, Option(min=1, help="Frames taken evenly from a video.")] = 32,
    heatmap: Annotated[
        Path | None,
        Option(metavar="DIR", help="Write heat maps here: an overlay (PNG) and the map (NPY) for each file."),
    ] = None,
    heatmap_scale: Annotated[str, Option(help="Colours: fixed (0 to 1) or image (the range of the map).")] = "fixed",
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    explain: Annotated[
        bool, Option("--explain", help="Also ask for reasons: image, skin, eyes, eyebrows, nose and mouth.")
    ] = False,
    question: Annotated[
        list[str] | None, Option("--question", "-q", metavar="TEXT", help="Ask this question instead. Repeatable.")
    ] = None,
    faces: Annotated[
        bool, Option("--faces/--no-faces", help="Find faces first, or judge each picture as the crop of one face.")
    ] = True,
    crop: Annotated[
        str, Option(metavar="CARD", help="How faces are cut out. Default: as in the detector's training, or m2f2det.")
    ] = "",
    finder: Annotated[str, Option(metavar="NAME[:FILE][@SCORE]", help="Who finds faces. Default: centerface.")] = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print P(fake) and a verdict at 0.5 for each face in your images and videos, or folders of them."""
    settle(cards)
    from ..inference.predict import predict_paths

    judge: Any = given([detector], kind, fake_class, trust)[0]
    if cam or cam_layer:
        from ..core.errors import DetectorError
        from ..heatmaps.mapping import mapping_detector

        if heatmap is None:
            raise DetectorError("--cam needs a folder for the maps: give --heatmap DIR too")
        judge = mapping_detector(judge, device, cam, cam_layer, precision)
    found = predict_paths(
        paths,
        judge,
        frames=frames,
        device=device,
        heatmaps=heatmap,
        heatmap_scale=heatmap_scale,
        explain=explain,
        questions=question or (),
        faces=faces,
        crop=crop,
        finder=finder,
        precision=precision,
    )
    if as_json:
        echo_json(found)
        return
    from ..inference.verdicts import faces_text

    for item in found:
        score = "     –" if item["score"] is None else f"{item['score']:.4f}"
        say(f"{score}  {item['verdict'] or item['status']:<10}  {visible(item['path'])}  {item['message']}".rstrip())
        say(faces_text(item), nl=False)
        if "answers" in item:
            from ..inference.questions import transcript

            say(transcript(item), nl=False)
    if heatmap is not None:
        say(f"wrote {sum(item['heatmap'] is not None for item in found)} heat maps to {heatmap}")


def localize(
    detector: Annotated[str, DetectorNamed(help="A detector that makes heat maps.")],
    dataset: Annotated[
        str,
        DatasetNamed(help="A dataset with true masks, such as synthetic; any with --faithfulness."),
    ],
    kind: AsOption = None,
    fake_class: FakeClassOption = None,
    trust: TrustOption = False,
    split: SplitOption = "test",
    limit: Annotated[int | None, Option(min=1, help="Only N frames, evenly spread.")] = None,
    cam: CamOption = "",
    cam_layer: CamLayerOption = "",
    faithfulness: Annotated[
        bool,
        Option(
            "--faithfulness",
            help="Instead of masks: replace pixels in the order of the map and measure the score (deletion, insertion, "
            "drop). Needs hundreds of forward passes for a frame: see --limit.",
        ),
    ] = False,
    steps: Annotated[int, Option(min=2, help="Steps of a deletion or insertion curve.")] = 20,
    area: Annotated[float, Option(help="Share of the picture to blur for the drop.")] = 0.1,
    out: Annotated[Path | None, Option(help="Also write the report: .json (with every frame) or .md.")] = None,
    engine: EngineOption = "local",
    workers: Annotated[int, Option(min=0, help="Processes of --engine ray; 0: as many as fit.")] = 0,
    gpus_per_worker: GPUsOption = None,
    address: AddressOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
    signatures: SignaturesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare heat maps with true masks, or (--faithfulness) with the detector's own scores. Controls are included."""
    settle(cards, data, redraw=redraw)
    require_report_ending(out)
    more: dict[str, Any] = {"split": split, "limit": limit, "device": device, "cam": cam, "cam_layer": cam_layer}
    more |= {"engine": engine, "workers": workers, "gpus_per_worker": gpus_per_worker, "address": address}
    more["precision"] = precision
    (judge,) = given([detector], kind, fake_class, trust)
    report: Any
    if faithfulness:
        from ..heatmaps.measurement import faithfulness as test

        report = test(judge, dataset, steps=steps, area=area, **more)
    else:
        from ..heatmaps.measurement import localize as measure

        report = measure(judge, dataset, **more)
    print_report(report, out, as_json, signatures, frames=True)
