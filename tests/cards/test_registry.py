"""The four ways to add a detector or a dataset, from outside the package: decorator, entry point, card, file."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT, TESTS

import m2f2bench
from m2f2bench.cards.registry import ADAPTERS, BACKENDS, Registry, finding_here, load_from_file, module_from_file
from m2f2bench.core.errors import M2F2BenchError

PLUGIN = TESTS / "plugin"
SOURCE = """
import numpy as np
import m2f2bench

class Plain:
    def predict(self, images):
        return [float(image.mean()) / 255 for image in images]

class Tuned:
    def __init__(self, value=0.1):
        self.value = value
    def predict(self, images):
        return [self.value] * len(images)

class NotADetector:
    pass

class Rows(m2f2bench.Adapter):
    def frames(self, split):
        return [m2f2bench.Frame(str(i), str(i), i % 2, "m" if i % 2 else "original", split, (), m2f2bench.Locator(""))
                for i in range(4)]
    def read(self, frame):
        return np.full((8, 8, 3), 50 * (1 + frame.label), dtype=np.uint8)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def test_file_and_class(source: Path, tmp_path: Path) -> None:
    results = m2f2bench.run(detectors=f"{source}:Plain", datasets=f"{source}:Rows", out=tmp_path / "out")
    assert results[0].metrics["auc"].value == 1.0
    assert (results[0].detector, results[0].dataset) == ("mine.Plain", "mine.Rows")
    assert results[0].statuses == {"ok": 4}


def test_card_that_names_a_file_with_options(source: Path, tmp_path: Path) -> None:
    card = tmp_path / "tuned.yaml"
    card.write_text("name: tuned\nbackend: mine.py:Tuned\noptions: {value: 0.75}\n")
    data = tmp_path / "rows.yaml"
    data.write_text("name: rows\nadapter: mine.py:Rows\n")
    results = m2f2bench.run(detectors=str(card), datasets=str(data), out=tmp_path / "out")
    assert results[0].metrics["accuracy"].value == 0.5
    card.write_text("name: tuned\nbackend: mine.py:Tuned\noptions: {valu: 0.75}\n")
    with pytest.raises(M2F2BenchError, match="options do not fit Tuned"):
        m2f2bench.run(detectors=str(card), datasets=str(data), out=tmp_path / "out2")


def test_decorators(tmp_path: Path) -> None:
    @m2f2bench.register_backend("decorated-half")
    class Half(m2f2bench.Detector):
        def forward(self, batch, ids):
            return np.full(len(batch), 0.5)

    @m2f2bench.register_adapter("decorated-pair")
    class Pair(m2f2bench.Adapter):
        def frames(self, split):
            where = m2f2bench.Locator("")
            return [
                m2f2bench.Frame("a", "a", 0, "original", split, (), where),
                m2f2bench.Frame("b", "b", 1, "m", split, (), where),
            ]

        def read(self, frame):
            return np.zeros((8, 8, 3), dtype=np.uint8)

    try:
        results = m2f2bench.run(detectors="decorated-half", datasets="decorated-pair", out=tmp_path)
        assert results[0].metrics["auc"].value == 0.5
        with pytest.raises(M2F2BenchError) as caught:

            @m2f2bench.register_backend("decorated-half")
            class Other(m2f2bench.Detector):
                def forward(self, batch, ids):
                    return np.zeros(len(batch))

        assert "Half" in str(caught.value) and "Other" in str(caught.value) and "taken twice" in str(caught.value)
    finally:
        BACKENDS._registered.pop("decorated-half", None)
        ADAPTERS._registered.pop("decorated-pair", None)


def test_a_name_of_the_package_cannot_be_taken() -> None:
    with pytest.raises(M2F2BenchError) as caught:

        @m2f2bench.register_backend("constant")
        class Mine(m2f2bench.Detector):
            def forward(self, batch, ids):
                return np.zeros(len(batch))

    assert "m2f2bench.detectors.controls:ConstantDetector" in str(caught.value) and "Mine" in str(caught.value)


@pytest.fixture(scope="module")
def plugin_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture plugin, really installed by pip into a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(site), str(PLUGIN)], check=True, capture_output=True)
    return site


def outside(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}  # not what is installed
    return subprocess.run(
        [sys.executable, "-m", "m2f2bench", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_entry_points_of_an_installed_package(plugin_site: Path, tmp_path: Path) -> None:
    listed = outside(plugin_site, tmp_path, "list", "backends")
    assert "fixture-brightness" in listed.stdout and "package m2f2bench-fixture" in listed.stdout
    words = ["run", "-d", "fixture-brightness", "-s", "fixture-squares", "--json", "--out", str(tmp_path / "o")]
    ran = outside(plugin_site, tmp_path, *words)
    assert ran.returncode == 0, ran.stderr
    assert '"fixture-brightness"' in ran.stdout and '"value": 1.0' in ran.stdout


def test_colliding_entry_points_name_both_sides(plugin_site: Path, tmp_path: Path) -> None:
    second = tmp_path / "site"
    (second / "other-1.0.dist-info").mkdir(parents=True)
    (second / "other-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (second / "other-1.0.dist-info" / "entry_points.txt").write_text(
        "[m2f2bench.backends]\nfixture-brightness = other:Thing\n"
    )
    ran = outside(Path(f"{plugin_site}{os.pathsep}{second}"), tmp_path, "run", "-d", "fixture-brightness", "-s", "x")
    assert ran.returncode == 2
    assert "m2f2bench_fixture:Brightness" in ran.stderr and "other:Thing" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_what_cannot_be_loaded_is_one_line(cli, one_line, source: Path, tmp_path: Path) -> None:
    assert "no class 'Plane'" in one_line(cli("run", "-d", f"{source}:Plane", "-s", "x"))
    assert "did you mean 'Plain'" in one_line(cli("run", "-d", f"{source}:Plane", "-s", "x"))
    assert "there is no file" in one_line(cli("run", "-d", f"{tmp_path}/gone.py:Plain", "-s", "x"))
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    assert "ModuleNotFoundError" in one_line(cli("run", "-d", f"{tmp_path}/bad.py:A", "-s", "x"))
    line = one_line(cli("run", "-d", f"{source}:NotADetector", "-s", f"{source}:Rows", "--out", tmp_path / "o"))
    assert "no method predict(images)" in line


def test_a_broken_builtin_target_is_one_line() -> None:
    registry = Registry("backend", "m2f2bench.none", {"broken": "m2f2bench.nowhere:Thing"})
    with pytest.raises(M2F2BenchError, match=r"backend 'broken'.*cannot be loaded"):
        registry.get("broken")


def test_a_folder_called_like_a_card_does_not_take_its_place(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("synthetic", "constant"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.yaml").write_text("name: other\nbackend: random\n")
    monkeypatch.chdir(tmp_path)
    assert m2f2bench.load_dataset("synthetic").card.adapter == "synthetic"
    assert m2f2bench.load_detector("constant").card.name == "constant"
    assert m2f2bench.load_detector("./constant").card.name == "other"
    assert m2f2bench.load_dataset("squares").card.adapter == "folder"


def test_objects_from_python(source: Path, tmp_path: Path) -> None:
    class Dark:
        name = "dark"

        def predict(self, images):
            return [0.1 for _ in images]

    loaded = m2f2bench.load_detector(Dark())
    dataset = m2f2bench.load_dataset(f"{source}:Rows")
    images = [dataset.read(frame) for frame in dataset.frames("test")]
    assert loaded.predict(images).tolist() == [0.1] * 4 and loaded.card.name == "dark"
    assert dataset.questions("test") == []
    again = m2f2bench.run(detectors=[loaded], datasets=dataset.adapter, out=tmp_path / "again")
    assert again[0].detector == "dark"
    results = m2f2bench.run(detectors=[Dark()], datasets=f"{source}:Rows", out=tmp_path)
    assert results[0].detector == "dark"
    assert "dark" in results.table() and "dark" in results._repr_markdown_()
    with pytest.raises(M2F2BenchError, match="no method predict"):
        m2f2bench.run(detectors=[3], datasets=f"{source}:Rows", out=tmp_path)


def test_near_names_among_very_many() -> None:
    from m2f2bench.core.errors import near

    names = [f"frame_{i:07d}" for i in range(300_000)]
    begun = time.perf_counter()
    assert "did you mean 'frame_0123456'" in near("frame_0123456x", names)
    assert near("x" * 100_000, names).startswith("; known: ")
    assert time.perf_counter() - begun < 5.0


def test_another_process_executes_only_the_files_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "needed.py").write_text("class Mine:\n    number = 7\n")
    (tmp_path / "changed.py").write_text("x = 1\n")
    mine = load_from_file(f"{tmp_path / 'needed.py'}:Mine", "backend")
    module_from_file(f"{tmp_path / 'changed.py'}:x", "metric")
    (tmp_path / "changed.py").write_text("raise ValueError\n")
    (tmp_path / "sent").write_bytes(pickle.dumps((finding_here(), pickle.dumps(mine))))
    code = "import pickle, sys; before, sent = pickle.load(open(sys.argv[1], 'rb')); before(); before()"
    code += "; print(pickle.loads(sent).number)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "sent"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")
