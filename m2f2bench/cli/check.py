"""The commands `check` and `validate`: exit status 1 for a worse detector or an unsound result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import CardsOption, DataOption, DeviceOption, JsonOption, OwnMetricOption, echo_json, load_own, say, settle


def check(
    baseline: Annotated[
        Path, typer.Argument(help="A result file, a run's folder, or a folder of either. Default: ./baselines.")
    ] = Path("baselines"),
    detector: Annotated[str | None, typer.Option("--detector", "-d", help="Default: that of the baseline.")] = None,
    run: Annotated[Path | None, typer.Option("--run", help="Use the folder of a run instead of a new run.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-s", help="Default: that of the baseline.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", "-m", help="Name or FILE.py:NAME. Repeatable. Default: the main metrics."),
    ] = None,
    chance: Annotated[
        float, typer.Option("--chance", help="Probability that an equally good detector fails, over all metrics.")
    ] = 0.05,
    tolerance: Annotated[float, typer.Option("--tolerance", help="A decrease of at most this never fails.")] = 0.0,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the new run here.")] = None,
    device: DeviceOption = "auto",
    cards: CardsOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fail (exit status 1) if a detector is worse than a stored result by more than noise."""
    settle(cards, data)
    from ..core.errors import CheckFailed
    from ..runs.check import check as look
    from ..runs.check import describe

    reports = look(
        baseline,
        detector=detector,
        run_folder=run,
        dataset=dataset,
        out=out,
        metrics=metric or (),
        chance=chance,
        tolerance=tolerance,
        device=device,
    )
    if as_json:
        echo_json([report.to_json() for report in reports])
    else:
        say(describe(reports))
    failed = [report for report in reports if not report.passed]
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(reports)} checks failed, first {failed[0].problems[0]}")


def validate(
    files: Annotated[list[Path], typer.Argument(help="Result files, or runs' folders.")],
    metric: OwnMetricOption = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check result files: schema, signature, numbers, and the rows if they are stored with them."""
    settle(cards)
    load_own(metric)
    from ..core.errors import CheckFailed
    from ..scoring.validate import validate_result

    found = {str(file): validate_result(file) for file in files}
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
