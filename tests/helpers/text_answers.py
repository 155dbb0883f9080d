"""Answers for the tests of text metrics: the published ones, and a few by hand with what metrics stumble over."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from m2f2bench.loading import load_dataset


@dataclass(frozen=True)
class Published:
    """The published model's answers to the 1,070 released test questions."""

    texts: list[str]
    references: list[tuple[str, ...]]
    label: np.ndarray


class PeersTokenizer:
    """pycocoevalcap's wrapper of the Penn Treebank tokenizer; it writes into its own folder, here a temporary one."""

    def tokenize(self, captions: dict[int, list[dict[str, str]]]) -> dict[int, list[str]]:
        from pycocoevalcap.tokenizer import ptbtokenizer as peer

        own = Path(peer.__file__)
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            for jar in own.parent.glob("*.jar"):
                (Path(folder) / jar.name).symlink_to(jar)
            patch.setattr(peer, "__file__", str(Path(folder) / own.name))
            return peer.PTBTokenizer().tokenize(captions)


@functools.cache
def published(data: Path) -> Published:
    questions = load_dataset("ddvqa-c40").questions("test", "released")
    lines = (data / "ddvqa" / "outputs" / "DDVQA_exp_c40.jsonl").read_text(encoding="utf-8").splitlines()
    given = {row["key"]: row["text"].removeprefix("<s>").removesuffix("</s>").strip() for row in map(json.loads, lines)}
    return Published(
        [given[q.id] for q in questions], [q.references for q in questions], np.array([q.label for q in questions])
    )


BY_HAND: list[tuple[str, tuple[str, ...]]] = [
    ("the eyes look fake", ("the eyes look fake",)),
    ("the eyes look fake", ("the mouth is blurred", "the eyes looked very fake")),
    ("the child laughed at a picture", ("the kid laughs at an image",)),
    ("it is in accordance with the light", ("it is consistent with the light", "it is not")),
    ("", ("the nose is real",)),
    ("nose", ("the nose is real and so is the skin of the cheeks",)),
    ("the the the the the", ("the skin", "the")),
    ("of the and in", ("of a and on", "the skin is smooth")),
    ("a real face", ("a real face", "a real face")),
    ("nothing alike", ("quite another sentence",)),
]


def keyed(texts: list[str], references: list[tuple[str, ...]]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and answers as pycocoevalcap takes them: by number, so that items may repeat."""
    return {i: list(own) for i, own in enumerate(references)}, {i: [text] for i, text in enumerate(texts)}
