"""Heat maps in memory by frame id: the numbers of the detector that made them, and one clear line for each mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_line import error_of
from toy_maps import write_toys

import m2f2bench

OWN = ("det", "w", "code", "pre", "prec", "seed", "env")
"""Fields of the signature that name the detector."""


@pytest.fixture
def toys(tmp_path: Path) -> tuple[Path, str]:
    return write_toys(tmp_path)


def maps_of(toys: tuple[Path, str]) -> dict[str, Any]:
    """The maps of `Bright`, by frame id."""
    data, detector = m2f2bench.load_dataset(toys[1]), m2f2bench.load_detector(f"{toys[0]}:Bright")
    localizer = detector.as_localizer()
    assert localizer is not None
    return {frame.id: localizer.heatmap([data.read(frame)])[0] for frame in data.frames("test")}


def numbers(report: Any) -> dict[str, Any]:
    """Everything in a report but the names of the detector."""
    found = report.to_json(frames=True)
    signature = {key: value for key, value in found["measured"].items() if key in ("hash", "masks", "map", "ci", "n")}
    dropped = ("detector", "signature", "measured")
    return {key: value for key, value in found.items() if key not in dropped} | {"fields": signature}


@pytest.mark.parametrize("form", ["float32", "float64", "list", "tensor", "read-only"])
def test_maps_in_memory_have_the_numbers_of_their_detector(form: str, toys: tuple[Path, str]) -> None:
    expected = numbers(m2f2bench.localize(f"{toys[0]}:Bright", toys[1]))
    assert expected["outcomes"]["fake"]["ok"] and expected["fields"]["masks"]
    forms: dict[str, Callable[[Any], Any]] = {
        "float32": lambda heat: heat,
        "float64": lambda heat: heat.astype(np.float64),
        "list": lambda heat: heat.tolist(),
        "tensor": torch.from_numpy,
        "read-only": lambda heat: np.broadcast_to(heat, heat.shape),
    }
    maps = {name: forms[form](heat) for name, heat in maps_of(toys).items()}
    found = m2f2bench.localize(maps, toys[1], name="mine")
    assert numbers(found) == expected and found.detector == "mine" and found.measured["det"] == "mine"
    assert len(found.to_pandas()) and "<table" in found._repr_html_()


def test_a_frame_without_a_map_counts_as_a_miss(toys: tuple[Path, str]) -> None:
    maps = maps_of(toys)
    lost = [name for name in maps if name.startswith("small")][:2]
    whole = m2f2bench.localize(maps, toys[1])
    found = m2f2bench.localize({name: heat for name, heat in maps.items() if name not in lost}, toys[1])
    assert found.outcomes["fake"]["error"] == 2 and found.metrics["pointing"].n_fake == whole.metrics["pointing"].n_fake
    assert {row.message for row in found.frames if row.frame.id in lost} == {"no map was given"}
    maps[lost[0]] = np.full((4, 4), np.nan)
    (row,) = [row for row in m2f2bench.localize(maps, toys[1]).frames if row.frame.id == lost[0]]
    assert row.message == "the heat map has values that are not finite"


def test_mistakes_are_one_line(toys: tuple[Path, str]) -> None:
    maps = maps_of(toys)
    first = next(iter(maps))
    wrong: list[tuple[Any, str]] = [
        ({}, "the mapping of heat maps is empty"),
        ({**maps, "real-p99": maps[first]}, "map of 'real-p99', and 'masked' has no such frame in split 'test'; did"),
        ({**maps, first: np.zeros(3)}, f"the heat map of '{first}' is float64 [3]: give numbers in [0, 1], [h, w]"),
        ({**maps, first: np.zeros((3, 3, 3))}, "is float64 [3, 3, 3]"),
        ({**maps, first: np.zeros((0, 3))}, "is float64 [0, 3]"),
        ({**maps, first: [[0.1, 0.2], [0.3]]}, "cannot be made an array: "),
        ({**maps, first: "map.npy"}, "is 'map.npy': give numbers"),
        ({**maps, first: None}, "is None: give numbers"),
        ({**maps, first: np.zeros((3, 3), bool)}, "is bool [3, 3]"),
        ({**maps, first: np.zeros((3, 3), complex)}, "is complex128 [3, 3]"),
        ({**maps, first: np.array([["a"]])}, "is <U1 [1, 1]"),
        ({**maps, first: np.full((3, 3), 1.5)}, "gave a heat map with values from 1.5 to 1.5"),
        ({first: np.full((3, 3), np.inf)}, "none of 36 frames could be judged"),
    ]  # fmt: skip
    for data, said in wrong:
        assert said in error_of(lambda data=data: m2f2bench.localize(data, toys[1]))
    assert "leave it out" in error_of(lambda: m2f2bench.localize(maps, toys[1], cam="gradcam"))
