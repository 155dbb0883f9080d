"""Cards for weights given as they are: a file with the name of its network, or a file or folder that holds one itself.

A file is looked at before a card is made: what is not weights, ends too early, or would run code is refused here.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from ...cards.models import LONGEST_NAME, DetectorCard
from ...core.errors import DetectorError

OPTION = "--as DETECTOR"
ENDINGS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".onnx", ".pkl", ".tar")
"""File name endings of weights that may be given as a detector."""
LARGEST_CONFIG = 1 << 20
HARMLESS = (
    "torch",
    "numpy",
    "collections",
    "copyreg",
    "_codecs",
    "datetime",
    "argparse",
    "enum",
    "pathlib",
    "functools",
    "omegaconf",
    "builtins",
    "types",
    "typing",
    "decimal",
    "fractions",
    "uuid",
    "dataclasses",
)
"""Packages whose functions checkpoints name to rebuild their settings and optimisers; none of them is called here."""
HARMFUL = (
    "builtins.eval",
    "builtins.exec",
    "builtins.compile",
    "builtins.getattr",
    "builtins.setattr",
    "builtins.open",
    "builtins.__import__",
    "builtins.input",
    "builtins.breakpoint",
    "pathlib.Path.",
    "pathlib.PosixPath.",
    "torch.load",
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.storage._load_from_bytes",
    "torch.utils",
    "torch.ops",
    "torch.classes",
    "torch.distributed.rpc",
    "numpy.load",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.testing",
    "functools.reduce",
)
"""Names in these packages that act outside the tensors; `__builtin__` is `builtins` in Python 2."""


def is_given(path: Path) -> bool:
    """Return whether a path is a file of weights or the folder of a classifier, not a card."""
    if path.is_dir():
        return is_classifier(path)
    return path.suffix.lower() in ENDINGS and path.exists()


def is_classifier(folder: Path) -> bool:
    """Return whether a folder is that of a Hugging Face model: a config.json that names its kind, and no card."""
    config = folder / "config.json"
    if (folder / "card.yaml").is_file() or not config.is_file():
        return False
    return '"model_type"' in config.read_text(encoding="utf-8", errors="replace")[:LARGEST_CONFIG]


def card_of(
    path: Path, base: DetectorCard | None, fake_class: int | None = None, trust: bool = False, name: str = ""
) -> DetectorCard:
    """Return the card of a detector whose weights are at `path`.

    `base` is the card of the network that the file is for; of a file or folder that holds its own network (ONNX,
    TorchScript, a Hugging Face classifier) it gives the input alone. `fake_class` says which of two outputs is fake.
    `trust` allows a TorchScript program, which is code. Raises DetectorError.
    """
    values: dict[str, Any] = {"name": name or called(path), "fake_class": fake_class}
    if path.is_dir():
        values |= {"backend": "hf-classifier", "weights": str(path.resolve()), "description": "a Hugging Face folder"}
    elif path.suffix.lower() == ".onnx":
        values |= {"backend": "onnx", "weights": str(path.resolve()), "description": "an ONNX file"}
    elif is_program(path):
        values |= _program(path, trust)
    else:
        return _with_weights(path, base, values)
    if base is not None:
        values["input"] = base.input.model_dump(mode="json", exclude_unset=True)
    return DetectorCard.model_validate(values).placed(path.resolve().parent)


def _with_weights(path: Path, base: DetectorCard | None, values: dict[str, Any]) -> DetectorCard:
    """Return the card of a network with the file's weights. Raises DetectorError for a file without a network."""
    look = look_at(path)
    if base is None:
        raise DetectorError(
            f"'{path}' is a file of weights, not a detector's card: say whose network it is for with {OPTION}, or "
            f"write a card next to it (name: {called(path)}, backend: timm, weights: {path.name}, options: {{model: "
            f"ITS-TIMM-NAME}}) and give that; published weights are for `m2f2bench import-weights`"
            + (f"; its names look like {look}" if look else "")
        )
    unknown: dict[str, Any] = {"training_datasets": (), "training_sources": (), "training_people": (), "licence": ""}
    fake = values["fake_class"] if values["fake_class"] is not None else base.fake_class
    own = {
        "name": values["name"],
        "description": f"{path.name} as {base.name}",
        "weights": str(path.resolve()),
        "fake_class": fake,
    }
    return base.model_copy(update={**unknown, **own})


def _program(path: Path, trust: bool) -> dict[str, Any]:
    if not trust:
        raise DetectorError(
            f"'{path}' is a TorchScript program (torch.jit.save), which is code and not only weights: give --trust if "
            f"you trust where it is from, or its state dict with {OPTION}"
        )
    return {
        "backend": "torchscript",
        "weights": str(path.resolve()),
        "options": {"trust": True},
        "description": "a TorchScript program",
    }


def look_at(path: Path) -> str:
    """Return the known network that a file's names look like; "" for none.

    Raises DetectorError for a file that cannot be read as weights, and for one with a call that would act outside its
    tensors if it were read by `pickle` or an unsafe `torch.load`.
    """
    from .load import open_weights
    from .looks import looks_like

    file = open_weights(path)
    refuse_code(path, file.stubbed)
    return looks_like({name: tensor.shape for name, tensor in file.tensors.items()})


def refuse_code(path: Path, stubbed: Any) -> None:
    """Raise DetectorError if a checkpoint names a function that is none of those that rebuild data."""
    named = sorted(name.replace("__builtin__.", "builtins.") for name in stubbed)
    harmful = [name for name in named if _acts(name)]
    if harmful:
        raise DetectorError(
            f"'{path}' is not only weights: reading it with pickle would call {', '.join(harmful[:3])}; nothing in it "
            f"was run. Do not use it, or ask its author for a .safetensors file"
        )


def _acts(name: str) -> bool:
    """Return whether a name in a pickle is a function that may act outside the data."""
    package, function = name.partition(".")[0], name.rpartition(".")[2]
    if name.startswith(HARMFUL):
        return True
    if package in HARMLESS:
        return False
    return package in sys.stdlib_module_names or not function.lstrip("_")[:1].isupper()


def is_program(path: Path) -> bool:
    """Return whether a file is a TorchScript archive: it has a folder of code."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def called(path: Path) -> str:
    """Return a card's name that is like the file's or folder's name."""
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^A-Za-z0-9._@+-]+", "-", name).lstrip("._@+-")[:LONGEST_NAME] or "mine"
