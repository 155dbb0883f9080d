"""The commands `check`, `validate`, `audit` and `sheet`: whether a detector, a result or a dataset is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..core.errors import CheckFailed, DataError
from . import complete
from .options import (
    AsOption,
    CardsOption,
    CropOption,
    DataOption,
    DatasetArgument,
    DatasetNamed,
    DetectorNamed,
    DeviceOption,
    FacesOption,
    FakeClassOption,
    FinderOption,
    JsonOption,
    OwnMetricOption,
    RedrawOption,
    SignaturesOption,
    SplitOption,
    TrustOption,
    given,
    settle,
)
from .output import echo_json, print_report, require_report_ending, say, say_wrapped


def check(
    baseline: Annotated[
        Path,
        Argument(
            metavar="BASELINE", help="A result file, a run's folder, or a folder of either. Default: ./baselines."
        ),
    ] = Path("baselines"),
    detector: Annotated[str | None, DetectorNamed(help="Default: that of the baseline.")] = None,
    kind: AsOption = None,
    fake_class: FakeClassOption = None,
    trust: TrustOption = False,
    run: Annotated[Path | None, Option(help="Use the folder of a run instead of a new run.")] = None,
    dataset: Annotated[str | None, DatasetNamed(help="Default: that of the baseline.")] = None,
    metric: Annotated[
        list[str] | None,
        Option(
            "--metric",
            "-m",
            autocompletion=complete.metrics,
            help="Name or FILE.py:NAME. Repeatable. Default: the main metrics.",
        ),
    ] = None,
    chance: Annotated[float, Option(help="Probability that an equally good detector fails, over all metrics.")] = 0.05,
    tolerance: Annotated[float, Option(help="A decrease of at most this never fails.")] = 0.0,
    margin: Annotated[
        float | None,
        Option(help="Pass only where a fall of this or more is ruled out (default metric: the primary one)."),
    ] = None,
    out: Annotated[Path | None, Option(help="Keep the new run here.")] = None,
    crop: CropOption = None,
    finder: FinderOption = "centerface",
    faces: FacesOption = "largest",
    device: DeviceOption = "auto",
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fail (exit status 1) if a detector is worse than a stored result by more than noise."""
    settle(cards, data, redraw=redraw)
    from ..runs.check import check as look
    from ..runs.check_report import describe

    reports = look(
        baseline,
        detector=next(iter(given([detector] if detector else [], kind, fake_class, trust)), None),
        run_folder=run,
        dataset=dataset,
        out=out,
        metrics=metric or (),
        chance=chance,
        tolerance=tolerance,
        margin=margin,
        device=device,
        crop=crop,
        finder=finder,
        faces=faces,
    )
    if as_json:
        echo_json([report.to_json() for report in reports])
    else:
        say_wrapped(describe(reports))
    failed = [report for report in reports if not report.passed]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(reports)} checks failed, first {failed[0].problems[0]}")


def validate(
    files: Annotated[list[Path], Argument(metavar="FILE", help="Result files, runs' folders, or folders of either.")],
    metric: OwnMetricOption = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check result files: schema, signature, numbers, and the rows if they are stored with them."""
    settle(cards, metrics=metric)
    from ..results.stored import result_files
    from ..scoring.validate import validate_result

    wanted = [one for place in files for one in ([place] if place.is_file() else result_files(place))]
    found = {str(file): validate_result(file) for file in wanted}
    if as_json:
        echo_json([{"file": file, "valid": not problems, "problems": problems} for file, problems in found.items()])
    else:
        for file, problems in found.items():
            say(f"{'INVALID' if problems else 'valid  '}  {file}")
            for problem in problems:
                say(f"         {problem}")
    wrong = [(file, problems[0]) for file, problems in found.items() if problems]
    if wrong:
        raise CheckFailed(f"{len(wrong)} of {len(found)} results are not valid, first '{wrong[0][0]}': {wrong[0][1]}")


def audit(
    dataset: Annotated[
        list[str],
        DatasetArgument(
            metavar="DATASET|DETECTOR|WEIGHTS",
            help="A dataset: name, card, folder or manifest; several: report what they share. A detector, or a file "
            "of weights: report what in it has no part in its scores.",
        ),
    ],
    kind: AsOption = None,
    fake_class: FakeClassOption = None,
    trust: TrustOption = False,
    images: Annotated[
        str, Option("--images", metavar="DATASET", help="What a detector judges in its audit.")
    ] = "synthetic",
    split: Annotated[
        list[str] | None,
        Option(help="Of several datasets DATASET:SPLIT is of one alone. Repeatable. Default: all splits."),
    ] = None,
    limit: Annotated[int | None, Option(min=1, help="Read only N frames of each split, evenly spread.")] = None,
    frames_per_video: Annotated[int, Option(min=0, help="Frames taken evenly from a video; 0: all.")] = 8,
    near: Annotated[
        int, Option(min=0, max=64, help="Bits of 64 in which the hashes of near duplicates may differ.")
    ] = 8,
    probe: Annotated[bool, Option(help="Measure shortcuts to the label.")] = True,
    questions: Annotated[
        list[str] | None, Option(help="Kinds of questions to probe: blind, released, judge, or none. Default: all.")
    ] = None,
    out: Annotated[Path | None, Option(help="Also write the report: .json or .md.")] = None,
    strict: Annotated[bool, Option("--strict", help="Exit status 1 if anything leaks.")] = False,
    workers: Annotated[int, Option(min=0, help="Decoding threads; 0: one per core.")] = 0,
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
    signatures: SignaturesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Report what leaks the label or counts twice: duplicates, people in two splits, shortcuts, revealing questions.

    Of several datasets: people, videos and pictures of one that are in another. Shortcuts and questions are for one.
    Of a detector or its weights: tensors still as they were drawn or never read, parts that give every image the same,
    BatchNorms that never moved, layers built in each pass, scores that depend on the batch.
    """
    settle(cards, data, redraw=redraw)
    if _is_checkpoint(dataset, kind):
        if limit is not None or questions or len(split or ()) > 1:
            raise DataError(f"'{dataset[0]}' is a detector: --limit, --questions and several --split are for datasets")
        options = {"kind": kind, "fake_class": fake_class, "trust": trust, "split": (split or ["test"])[0]}
        _audit_checkpoint(dataset[0], out, strict, signatures, as_json, dataset=images, **options)
        return
    from ..auditing.audit import audit as look
    from ..auditing.questions import KINDS
    from ..auditing.report import plural

    require_report_ending(out)
    report = look(
        *dataset,
        splits=split or (),
        limit=limit,
        frames_per_video=frames_per_video,
        near=near,
        probe=probe,
        kinds=() if questions == ["none"] else questions or KINDS,
        workers=workers,
    )
    print_report(report, out, as_json, signatures)
    if strict and report.leaks:
        first = report.leaks[0]
        raise CheckFailed(
            f"'{report.dataset}' leaks ({plural(len(report.leaks), 'finding')}), first {first.topic}: {first.text}"
        )


def _is_checkpoint(names: list[str], kind: str | None) -> bool:
    """Return whether an audit is of a detector. Raises DataError for --as with several names."""
    from ..loading import names_detector

    if len(names) > 1:
        if kind is not None:
            raise DataError("--as is for one file of weights; several names are those of datasets")
        return False
    return kind is not None or names_detector(names[0])


def _audit_checkpoint(
    detector: str, out: Path | None, strict: bool, signatures: bool | None, as_json: bool, **options: Any
) -> None:
    """Audit a detector or a file of weights, and print the report."""
    from ..auditing.checkpoints.audit import audit_checkpoint
    from ..auditing.report import plural

    require_report_ending(out)
    report = audit_checkpoint(detector, **options)
    print_report(report, out, as_json, signatures)
    if strict and report.findings:
        first = report.findings[0]
        raise CheckFailed(
            f"'{report.detector}' has {plural(len(report.findings), 'fault')}, first {first.topic}: {first.text}"
        )


def sheet(
    dataset: Annotated[str, DatasetArgument(help="Name, card, folder or manifest.")],
    out: Annotated[Path, Option(help="The picture: .png, .jpg and others.")] = Path("sheet.png"),
    split: SplitOption = "test",
    per_method: Annotated[int, Option(min=1, help="Pictures for each manipulation.")] = 8,
    masks: Annotated[bool, Option("--masks", help="Draw the masks' outlines below each row.")] = False,
    redraw: RedrawOption = False,
    cards: CardsOption = None,
    data: DataOption = None,
) -> None:
    """Draw a contact sheet: a row for each manipulation, a column for each person."""
    settle(cards, data, redraw=redraw)
    from ..datasets.sheet import contact_sheet
    from ..loading import load_dataset

    place = load_dataset(dataset)
    place.check_split(split)
    contact_sheet(place.adapter, split, out, per_method=per_method, masks=masks)
    say(f"wrote {out}")
