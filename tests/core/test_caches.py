"""Caches: each is found again only while all that decides its content is the same, and the table names every one."""

from __future__ import annotations

import ast
import os
import sys
from functools import reduce
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import m2f2bench
from m2f2bench.auditing.facts import memo_path
from m2f2bench.cards.protocols import Bootstrap
from m2f2bench.core.identity import file_digest
from m2f2bench.core.parsing import read_yaml
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.base import Adapter
from m2f2bench.datasets.dataset import DECODERS, frame_digests
from m2f2bench.datasets.files.images import FileAdapter
from m2f2bench.datasets.synthetic import cache as synthetic
from m2f2bench.datasets.synthetic.draw import SyntheticOptions
from m2f2bench.detectors.keys import DECIDING, identify_judge, row_key
from m2f2bench.loading import any_protocol, load_dataset
from m2f2bench.results.store import RowStore
from m2f2bench.runs.heatmaps_job import HeatMapsJob

PACKAGE = Path(m2f2bench.__file__).parent
CACHES = read_yaml(PACKAGE / "core" / "caches.yaml")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


def overwrite(path: Path, data: bytes) -> None:
    """Other content of the same size, with the time of modification set back."""
    held = path.stat()
    assert len(data) == held.st_size and data != path.read_bytes()
    path.write_bytes(data)
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))


def called_with(call: ast.Call) -> bool:
    """Whether it is another function of that name: the one in question takes nothing."""
    return bool(call.args)


@pytest.mark.slow
def test_a1_the_table_names_every_cache() -> None:
    """Every folder that the package makes below the cache folder, read from its code."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        names = {
            node.targets[0].id: node.value.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            if isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.left, ast.Call):
                called = node.left.func
                if isinstance(called, ast.Name) and called.id == "cache_folder" and not called_with(node.left):
                    right = node.right
                    found.add(right.value if isinstance(right, ast.Constant) else names[right.id])  # type: ignore[attr-defined]
    listed = {one["place"].partition("/")[0] for one in CACHES}
    assert found and found <= listed
    assert listed - found == {"RUN", "OUT", "synthetic"}  # the last by an option


@pytest.mark.parametrize("place", [place for cache in CACHES for place in cache["keyed_in"]])
def test_a1_the_table_names_functions_that_exist(place: str) -> None:
    parts = f"m2f2bench.{place}".split(".")
    module = next(
        n for n in range(len(parts), 0, -1) if PACKAGE.parent.joinpath(*parts[:n]).with_suffix(".py").is_file()
    )
    owner: Any = import_module(".".join(parts[:module]))
    assert callable(reduce(getattr, parts[module:], owner))


def test_a1_the_table_names_the_rows_of_every_task() -> None:
    """Each file that a store of rows makes in a run's folder."""
    stores = RowStore.__subclasses__()
    assert {f"RUN/{one.name}" for one in stores} == {one["place"] for one in CACHES if one["place"].startswith("RUN/")}
    assert len(stores) == 3


def test_a1_rows_of_heat_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of their key that the key of predictions lacks is changed in turn."""
    judge, dataset = identify_judge(m2f2bench.load_detector("constant")), load_dataset("synthetic")
    masks, pixels = any_protocol("localization"), any_protocol("faithfulness")

    def key(protocol: Any, how: str = "", **change: Any) -> tuple[tuple[str, str], ...]:
        job = HeatMapsJob.__new__(HeatMapsJob)  # without its frames, which are drawn
        job.dataset, job.protocol = dataset, protocol.model_copy(update=change)
        job.mapper = SimpleNamespace(how=how)
        return tuple(sorted(job.key(judge).items()))

    seed = {"bootstrap": Bootstrap(seed=1)}
    found = [key(masks), key(masks, "gradcam-a"), key(masks, "gradcam-b"), key(masks, **seed)]
    changes = [{}, seed, {"steps": 19}, {"area": 0.1 + 1e-9}, {"fills": ("blur",)}]
    found += [key(pixels, **change) for change in changes]
    monkeypatch.setattr("m2f2bench.runs.heatmaps_job.MAPPING", 0)
    found.append(key(masks))
    monkeypatch.setattr("m2f2bench.runs.heatmaps_job.metadata.version", lambda name: f"another {name}")
    found += [key(masks, "gradcam-a"), key(pixels)]
    assert len(set(found)) == len(found)
    assert key(masks, metrics=("iou",)) == key(masks, bootstrap=Bootstrap(resamples=10)) == key(masks)
    assert set(dict(found[0])) - {"maps", "measure", "mapping"} == set(row_key(judge, dataset))


def folder_dataset(folder: Path) -> tuple[Any, list[Frame]]:
    for label, level in (("real", 40), ("fake", 200)):
        (folder / label).mkdir(parents=True)
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / label / "a.png", compress_level=0)
    dataset = load_dataset(str(folder))
    return dataset, dataset.frames("test")


def test_a1_digests_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, frames = folder_dataset(tmp_path / "faces")
    first = frame_digests(dataset, frames)
    with monkeypatch.context() as patched:
        patched.setattr(FileAdapter, "digest", lambda *_: "read again")
        assert frame_digests(dataset, frames) == first  # nothing has changed: nothing is read
        patched.setattr("m2f2bench.datasets.dataset.installed_versions", lambda names: {"pillow": "0"})
        assert set(frame_digests(dataset, frames).values()) == {"read again"}
    path = Path(frames[0].locator.path)
    overwrite(path, path.read_bytes()[:-20] + bytes(20))
    second = frame_digests(dataset, frames)
    assert second[frames[0].id] != first[frames[0].id] and second[frames[1].id] == first[frames[1].id]


class Drawn(Adapter):
    """An adapter of somebody's own: what its pixels rest on nobody knows."""

    splits = ("test",)

    def __init__(self, level: int, path: str) -> None:
        super().__init__()
        self.level, self.path = level, path

    def frames(self, split: str) -> list[Frame]:
        return [Frame("a", "a", 0, "original", "test", (), Locator(self.path))]

    def read(self, frame: Frame) -> Any:
        return np.full((16, 16, 3), self.level, np.uint8)


class Halved(FileAdapter):
    """One that stands on ours and reads in a way of its own."""

    scale = 2

    def frames(self, split: str) -> list[Frame]:
        return [Frame("a", "a", 0, "original", "test", (), Locator(str(self.root)))]

    def read(self, frame: Frame) -> Any:
        return super().read(frame)[:: self.scale]


@pytest.mark.parametrize("kind", ["own", "derived"])
def test_a1_an_adapter_of_ones_own_is_read_again(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its locator is a file that stays: stamp and digest are those of what is really read."""
    path = tmp_path / "still.png"
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(path)

    def dataset(value: int) -> Any:
        monkeypatch.setattr(Halved, "scale", value)
        return load_dataset(Drawn(value, str(path)) if kind == "own" else Halved(path))

    one, other = dataset(1), dataset(1).frames("test")
    first = frame_digests(one, other)
    assert frame_digests(dataset(2), other) != first
    assert frame_digests(dataset(1), other) == first


def test_a1_facts_of_an_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, frames = folder_dataset(tmp_path / "faces")
    first = m2f2bench.audit(dataset.card, probe=False)
    assert m2f2bench.audit(dataset.card, probe=False).to_json() == first.to_json()
    path = Path(frames[0].locator.path)
    overwrite(path, path.read_bytes()[:-20] + bytes(20))
    changed = m2f2bench.audit(dataset.card, probe=False)
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "fresh"))
    assert m2f2bench.audit(dataset.card, probe=False).to_json() == changed.to_json() != first.to_json()
    place = memo_path(dataset.adapter, dataset.card)
    for name in ("VERSION", "__version__"):
        with monkeypatch.context() as patched:
            patched.setattr(f"m2f2bench.auditing.facts.{name}", "x")
            assert memo_path(dataset.adapter, dataset.card) != place
    monkeypatch.setattr("m2f2bench.auditing.facts.code_digest", lambda cls: b"other code")
    assert memo_path(dataset.adapter, dataset.card) != place


def test_a1_digests_of_files(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    path.write_bytes(b"first")
    first = file_digest(path)
    assert file_digest(path) == first
    overwrite(path, b"other")
    assert file_digest(path) != first


def test_a1_digests_of_an_llm(tmp_path: Path) -> None:
    from m2f2bench.detectors.llm.source import LanguageSource, language_fingerprint

    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        (tmp_path / name).write_bytes(b"first")
    source = LanguageSource(name=str(tmp_path))
    known = {language_fingerprint(source, tmp_path)}
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        overwrite(tmp_path / name, b"other")
        known.add(language_fingerprint(source, tmp_path))
    assert len(known) == 4


def test_a1_synthetic_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthetic.cache_folder(SyntheticOptions())
    assert synthetic.cache_folder(SyntheticOptions(workers=3)) == first
    others = [SyntheticOptions(seed=1), SyntheticOptions(size=80), SyntheticOptions(train=25)]
    found = {synthetic.cache_folder(one) for one in others}
    for name in ("generator_version", "encoder_version"):
        with monkeypatch.context() as patched:
            patched.setattr(synthetic, name, lambda: "another")
            found.add(synthetic.cache_folder(SyntheticOptions()))
    assert len(found) == 5 and first not in found


def test_a1_answers_of_an_endpoint() -> None:
    from m2f2bench.detectors.openai.detector import _digest

    request = {"model": "m", "messages": ["text", "data:image/png;base64,AA"], "temperature": 0.0}
    changes = [{"model": "n"}, {"messages": ["other", "data:image/png;base64,AA"]}, {"temperature": 0.5}]
    changes.append({"messages": ["text", "data:image/png;base64,AB"]})
    keys = {_digest("http://a", request), _digest("http://b", request)}
    keys |= {_digest("http://a", request | change) for change in changes}
    assert len(keys) == 6


def test_a1_matches_of_meteor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from m2f2bench.metrics.text import meteor
    from m2f2bench.metrics.text.items import make_items

    told: list[int] = []

    def matched(asked: list[str]) -> list[list[float]]:
        told.append(len(asked))
        return [[1.0] * 23 for _ in asked]

    monkeypatch.setattr(meteor, "_matched", matched)
    monkeypatch.setattr(meteor.java, "java_version", lambda: "one Java")  # none is needed: nothing is really matched
    items = make_items(["a", "b"], [("c",), ("d",)])
    meteor.meteor_counts(items)
    meteor.meteor_counts(items)
    assert told == [2]
    monkeypatch.setattr(meteor, "OPTIONS", ("another", "way", "to", "ask"))
    meteor.meteor_counts(items)
    assert told == [2, 2]
    monkeypatch.setattr(meteor.java, "java_version", lambda: "another Java")
    meteor.meteor_counts(items)
    assert told == [2, 2, 2]


def test_a1_every_package_that_decodes_files_counts_in_the_keys_of_caches_and_rows() -> None:
    """But for LMDB, which gives the bytes that were put into it."""
    of = packages_distributions()
    found: set[str] = set()
    for path in (PACKAGE / "datasets" / "files").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {one.name.split(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).split(".")[0])
    others = {name.lower() for top in found - set(sys.stdlib_module_names) for name in of[top]}
    assert {"pillow", "simplejpeg", "av"} <= others and others - {"lmdb"} <= set(DECODERS) <= set(DECIDING)
