"""Import of published weights of the field's networks: a folder that `run` and `predict` accept as a detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from ...cards.models import validate
from ...cards.registry import BACKENDS
from ...cards.settings import InputSettings
from ...core.arguments import checked
from ...core.errors import DetectorError, near
from ...core.files import sha256, write_json, write_text
from ...core.locks import holding_vacant
from ...core.sources import installed_versions
from ...core.tensors import write_tensors
from ...core.written import Written
from ...version import __version__
from ..cnn.base import Classifier, ClassifierDetector
from ..m2f2det.released import importing as m2f2det
from ..tuned import published as tuned
from ..weights.load import check_shapes, finite, open_weights, shapes_of
from ..weights.names import WORDS, reworded
from . import parts
from .forms import FORMS, LICENCE, Form
from .parts import Shapes

CARD, RECORD, WEIGHTS = m2f2det.CARD, m2f2det.RECORD, m2f2det.WEIGHTS
KINDS: tuple[str, ...] = (*m2f2det.KINDS, *FORMS, *tuned.KINDS)


@checked
def import_weights(
    file: str | Path, kind: str, out: str | Path, vision_tower: str | Path | None = None, detector_only: bool = False
) -> Written:
    """Write published weights as a detector's folder: `model.safetensors`, `card.yaml`, `import.json`, and `llm/`.

    `file` is a checkpoint (.pth, .pt, .bin), a .safetensors, or the folder of M2F2-Det's 7B model; nothing in it is
    executed. `kind` is one of `KINDS`, and says what the file is. Every tensor of the published form must be there,
    with its shape, and no other. Tensors that no score depends on are left out, and `import.json` names them.
    `vision_tower` (a file, a CLIP's folder, a name on the hub) replaces CLIP's image tower in M2F2-Det, and is the
    backbone of a file that has none (UnivFD's); `detector_only` leaves M2F2-Det's LLM out. The card is written last.
    Returns its path. Raises M2F2BenchError for an unknown kind, a file that lacks a tensor, has one too many or one of
    another shape, and for an `out` that is not empty.
    """
    if kind in m2f2det.KINDS:
        return m2f2det.import_weights(file, kind, out, vision_tower, detector_only)
    if kind in tuned.KINDS and not detector_only:
        return tuned.import_tuned(Path(file).expanduser(), kind, Path(out).expanduser(), vision_tower)
    if kind not in KINDS:
        raise DetectorError(f"unknown kind of weights '{kind}'{near(kind, KINDS)}")
    if vision_tower is not None or detector_only:
        raise DetectorError(f"weights of the kind {kind} have no tower and no LLM: leave these options out")
    file, out = Path(file).expanduser(), Path(out).expanduser()
    if not file.exists():
        raise DetectorError(f"'{file}' does not exist")
    with holding_vacant(out):
        record = write_form(file, kind, FORMS[kind], out)
        write_json(out / RECORD, record)
        write_text(out / CARD, yaml.safe_dump(card_of(kind, FORMS[kind]), sort_keys=False, allow_unicode=True))
    return Written(out / CARD)


def network_of(form: Form) -> Classifier:
    """Return the network of a form, without values."""
    backend = cast("type[ClassifierDetector[Any]]", BACKENDS.get(form.backend))
    options = validate(backend.Options, {**form.options, "outputs": 2}, f"options of {form.title}")
    return backend.empty(options, int(form.input["size"]))


def expected_shapes(form: Form, network: Classifier) -> Shapes:
    """Return the names and shapes of a published file of this form."""
    own = shapes_of(network.state_dict())
    unused: Shapes = getattr(parts, form.unused)() if form.unused else {}
    return {form.names(name): shape for name, shape in own.items()} | unused


def without_effect(shapes: Shapes, kind: str) -> list[str]:
    """Return the tensors of a whole file of the form `kind` that no score depends on; none for another file."""
    form = FORMS[kind]
    network = network_of(form)
    expected = expected_shapes(form, network)
    names = reworded(shapes, WORDS, expected)
    used = {form.names(name) for name in network.state_dict()}
    left = [name for name in names if form.training and name.startswith(form.training)]
    if {name: tuple(shapes[there]) for name, there in names.items() if name not in left} != expected:
        return []
    return [there for name, there in names.items() if name not in used]


def write_form(file: Path, kind: str, form: Form, out: Path) -> dict[str, Any]:
    """Write a published file's tensors by our names; return the content of `import.json`. Raises DetectorError."""
    network = network_of(form)
    expected, stored = expected_shapes(form, network), open_weights(file)
    names = reworded(stored.tensors, WORDS, expected)
    left_out = [name for name in names if form.training and name.startswith(form.training)]
    shapes = {name: stored.tensors[there].shape for name, there in names.items() if name not in left_out}
    check_shapes(expected, shapes, file, kind)
    tensors = {}
    learned = {name for name, _ in network.named_parameters()}
    for name, own in network.state_dict().items():
        there = form.names(name)
        tensor = finite(stored.tensors[names[there]].read(), own, there, file, name in learned)
        tensors[name] = tensor.to(own.dtype)
    write_tensors(out / WEIGHTS, tensors, {"architecture": form.backend})
    used = {form.names(name) for name in tensors}
    return _record(file, kind, form, [*expected, *left_out], used, stored.stubbed)


def _record(
    file: Path, kind: str, form: Form, expected: Collection[str], used: set[str], stubbed: Collection[str]
) -> dict[str, Any]:
    """Return the content of `import.json`; `expected` and `used` are names in the file."""
    unused, notes = [name for name in expected if name not in used], []
    if unused:
        shown = ", ".join(f"{part}.* ({count})" for part, count in _counted(unused, used).items())
        notes.append(f"{len(unused)} tensors have no effect on a score and were left out, {shown}: {form.why}")
    if stubbed:
        notes.append(f"named in the file and not built, since a file of weights is data: {', '.join(sorted(stubbed))}")
    if form.deviates:
        notes.append(f"not as in the paper: {form.deviates}")
    return {
        "kind": kind,
        "files": {file.name: sha256(file)},
        "without_effect": unused,
        "stubbed": sorted(stubbed),
        "notes": [*notes, *form.notes],
        "versions": {"m2f2bench": __version__, **installed_versions(("torch", "timm"))},
    }


def _counted(names: Collection[str], used: Collection[str]) -> Mapping[str, int]:
    """Return how many tensors are in each part: the first word of their names, or two of a part that is also used."""
    shared = {name.partition(".")[0] for name in used}
    return Counter(".".join(name.split(".")[: 1 + (name.partition(".")[0] in shared)]) for name in names)


def card_of(kind: str, form: Form) -> dict[str, Any]:
    """Return the content of the detector's card. The training data is unknown: it is not in the file."""
    settings = validate(InputSettings, {"interpolation": "bicubic", **form.input}, f"input of {kind}")
    return {
        "name": kind,
        "description": f"{form.title}, imported from a file of the form {kind}",
        "backend": form.backend,
        "weights": WEIGHTS,
        "input": {**settings.model_dump(mode="json", include={"size", "interpolation", "mean", "std"})},
        "options": {**form.options, "outputs": 2},
        "licence": LICENCE,
        "reference": f"{form.paper}; {form.source}",
    }
