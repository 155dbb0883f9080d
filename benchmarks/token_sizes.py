"""Size of new image tokens against an LLM's words: root mean squares, as a ratio to that of the word embeddings.

    python benchmarks/token_sizes.py DETECTOR [--llm offline:smollm2-135m-instruct] [--std 0.02 0.1]

DETECTOR is a trained M2F2-Det of the variant `paper`; its tokens are those of the first test frames of `synthetic`.
Each row is a way to draw the projectors: as `align` does, and from a normal distribution of each `--std`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from common import report

import m2f2bench
from m2f2bench.detectors.llm.source import LanguageSource, open_language
from m2f2bench.detectors.m2f2det.options import ExplainerOptions
from m2f2bench.detectors.m2f2det.projectors import detector_tokens, new_projectors
from m2f2bench.detectors.m2f2det.starting import draw, word_size
from m2f2bench.loading import load_dataset

IMAGES = 8


def size(tokens: torch.Tensor) -> float:
    return float(tokens.pow(2).mean().sqrt())


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector")
    parser.add_argument("--llm", default="offline:smollm2-135m-instruct")
    parser.add_argument("--std", type=float, nargs="*", default=[0.02, 0.1])
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    one = m2f2bench.load_detector(given.detector)
    language = open_language(LanguageSource(name=given.llm), Path())
    words = word_size(language.model)
    data = load_dataset("synthetic").adapter
    images = [one.prepare(data.read(frame)) for frame in data.frames("test")[: 3 * IMAGES : 3]]
    options = ExplainerOptions.model_validate({"llm": {"name": given.llm}})
    tokens = detector_tokens(one.model, one.normalise(torch.from_numpy(np.stack(images))), options)
    rows = []
    for std in (None, *given.std):
        projectors = new_projectors(one.model, options, language.width)
        if std is None:
            draw(projectors, words, seed=0)
        else:
            torch.manual_seed(0)
            projectors.initialise(std)
        visual, forgery = projectors(*tokens)
        parts = {"visual": visual, "cells": forgery[:, :-1], "verdict": forgery[:, -1]}
        drawn = "as words" if std is None else f"N(0, {std:g}²)"
        rows.append({"drawn": drawn, **{name: round(size(part) / words, 2) for name, part in parts.items()}})
    report(rows)


if __name__ == "__main__":
    main()
