"""Options that several commands have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from ..cards.folders import CARDS_VARIABLE, DATA_VARIABLE, DEVICES, find_card
from ..core.errors import DetectorError, ScoreError
from ..core.memo import REDRAW_VARIABLE
from . import complete

if TYPE_CHECKING:
    from ..cards.models import DetectorCard

DetectorArgument = partial(Argument, metavar="DETECTOR", autocompletion=complete.detectors)
DatasetArgument = partial(Argument, metavar="DATASET", autocompletion=complete.datasets)
DetectorNamed = partial(Option, "--detector", "-d", metavar="NAME", autocompletion=complete.detectors)
DatasetNamed = partial(Option, "--dataset", "-s", metavar="NAME", autocompletion=complete.datasets)
ProtocolNamed = partial(Option, "--protocol", "-p", metavar="NAME", autocompletion=complete.protocols)
MetricNamed = partial(Option, "--metric", "-m", metavar="NAME", autocompletion=complete.metrics)
"""Arguments and options whose names the shell completes; what they take is in each command's help."""
CardsOption = Annotated[
    str | None, Option("--cards", metavar="DIR", help="Folder with your detectors/, datasets/, metrics/.")
]
DataOption = Annotated[
    str | None, Option("--data", metavar="DIR", help="Folder that holds the datasets (M2F2BENCH_DATA).")
]
SplitOption = Annotated[str, Option("--split", help="A split of the dataset.")]
JsonOption = Annotated[bool, Option("--json", help="Print JSON.")]
ColumnOption = Annotated[
    list[str] | None,
    Option(
        "--column",
        metavar="[FILE:]OURS=THEIRS",
        help="Rename a column: our name=the file's name; with FILE: of this file alone. Repeatable.",
    ),
]
CamOption = Annotated[
    str,
    Option(
        "--cam",
        metavar="METHOD",
        help="Use class activation maps of a torch network instead of its own maps: gradcam, gradcam++, hirescam, "
        "xgradcam, layercam, eigencam, scorecam (slow).",
    ),
]
CamLayerOption = Annotated[
    str, Option("--cam-layer", metavar="NAME", help="The network's layer for --cam. Default: its last map.")
]
OwnMetricOption = Annotated[
    list[str] | None,
    Option("--metric", "-m", metavar="FILE.py:NAME", help="A metric of yours that the results have. Repeatable."),
]
SeedsOption = Annotated[
    bool, Option("--seeds", help="Runs of one name, or of X-seed0, X-seed1, …, are trainings of one detector.")
]
CropOption = Annotated[
    str | None,
    Option(
        "--crop",
        metavar="CARD",
        autocompletion=complete.cards("datasets/crops"),
        help="Find faces in whole scenes and cut them out like this: m2f2det, deepfakebench, sbi, square, …",
    ),
]
FinderOption = Annotated[
    str, Option("--finder", metavar="NAME", help="What finds faces: centerface, yunet:FILE, …; NAME@SCORE.")
]
FacesOption = Annotated[str, Option("--faces", help="Of each video the largest face, the forged one (mask), or all.")]
AsOption = Annotated[
    str | None,
    Option(
        "--as",
        metavar="DETECTOR",
        autocompletion=complete.detectors,
        help="The detector whose network the weights given with -d are for.",
    ),
]
FakeClassOption = Annotated[
    int | None, Option("--fake-class", metavar="0|1", help="Of weights with two outputs: which one is fake.")
]
TrustOption = Annotated[
    bool, Option("--trust", help="Run the code in a TorchScript file: only if you trust its source.")
]
SignaturesOption = Annotated[
    bool | None,
    Option(
        "--signatures/--no-signatures",
        help="How each number was measured. Default: yes, but no in a terminal.",
        show_default=False,
    ),
]
RedrawOption = Annotated[
    bool,
    Option("--redraw", help="Draw the synthetic faces on this machine, in place of those in the package."),
]
DeviceOption = Annotated[str, Option("--device", help=f"{DEVICES}.")]


EngineOption = Annotated[
    str,
    Option(metavar="local|ray", help="ray: use the workers of a Ray cluster, or several of this machine."),
]
WorkersOption = Annotated[
    int, Option(min=0, help="Decoding threads; with --engine ray the processes that judge. 0: as many as fit.")
]
PrecisionOption = Annotated[
    str | None,
    Option(metavar="fp32|tf32|bf16|fp16", help="Arithmetic of torch networks. Default: that of the detector's card."),
]
GPUsOption = Annotated[float | None, Option(help="GPUs of each worker of --engine ray, or a share of one.")]
AddressOption = Annotated[
    str | None, Option(metavar="HOST:PORT", help="The Ray cluster. Default: RAY_ADDRESS, or a new one on this machine.")
]


def settle(
    cards: str | None = None, data: str | None = None, metrics: list[str] | None = None, redraw: bool = False
) -> None:
    """Set the variables of --cards, --data and --redraw, so that child processes have them too; load --metric."""
    for value, variable in ((cards, CARDS_VARIABLE), (data, DATA_VARIABLE), ("1" if redraw else None, REDRAW_VARIABLE)):
        if value is not None:
            os.environ[variable] = value
    if metrics:
        from ..loading import load_metrics

        load_metrics(metrics)


def given(
    detectors: Sequence[str], kind: str | None = None, fake_class: int | None = None, trust: bool = False
) -> list[str | DetectorCard]:
    """Return detectors, with a card for each file or folder of weights, by --as, --fake-class and --trust.

    Raises DetectorError for these options without such a file.
    """
    wanted = {"--as": kind, "--fake-class": fake_class, "--trust": trust or None}
    asked = [name for name, value in wanted.items() if value is not None]
    if not asked:
        return list(detectors)
    from ..core.files import user_path
    from ..detectors.weights.given import is_given
    from ..loading import detector_from

    files = [one for one in detectors if find_card("detectors", one) is None and is_given(user_path(one))]
    if not files:
        named = ", ".join(detectors) or "no detector"
        raise DetectorError(f"{asked[0]} is for a file of weights given with -d, and {named} is none that exists")
    return [detector_from(one, kind, fake_class, trust) if one in files else one for one in detectors]


def mapping(pairs: list[str] | None) -> dict[str, str | dict[str, str]]:
    """Return --column as our name → the file's, or a file → such a mapping. Raises ScoreError."""
    found: dict[str, str | dict[str, str]] = {}
    for pair in pairs or []:
        head, _, theirs = pair.partition("=")
        file, colon, ours = head.rpartition(":")
        if not ours or not theirs or (colon and not file):
            raise ScoreError(
                f"--column {pair}: write OURS=THEIRS, for example id=image, or FILE:OURS=THEIRS for one file"
            )
        if colon:
            own = found.setdefault(file, {})
            assert isinstance(own, dict)
            own[ours] = theirs
        else:
            found[ours] = theirs
    return found
