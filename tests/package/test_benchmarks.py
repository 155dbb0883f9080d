"""Every benchmark runs to its end, with very little to do."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_m2f2det
import yaml
from paths import HELPERS, ROOT
from toy_explainer import EXPLAINER, stages
from toy_llm import tiny_llm
from toy_questions import FACES

from m2f2bench.core.memo import cache_folder
from m2f2bench.core.records import Frame, Locator, Question
from m2f2bench.core.tensors import write_tensors
from m2f2bench.detectors.m2f2det.options import ExplainerOptions
from m2f2bench.detectors.m2f2det.projectors import PREFIX, new_projectors
from m2f2bench.detectors.m2f2det.regions import REGIONS

FOLDER = ROOT / "benchmarks"
TOLD = {
    "all",
    "common",
    "ablation",
    "explainer",
    "forgery_tokens",
    "left_out",
    "region_tokens",
    "token_sizes",
    "training_cost",
    "training_step",
}
"""What is no benchmark, or is told what it is about."""
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in TOLD)


@pytest.fixture()
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs a benchmark in this process, in an empty folder."""

    def run(name: str, *words: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        try:
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        except SystemExit as ended:
            if ended.code:
                pytest.fail(str(ended.code))
        finally:
            sys.modules.pop("common", None)

    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("M2F2BENCH_CACHE", str(cache_folder()))  # one of them sets another
    monkeypatch.chdir(tmp_path)
    return run


def rows_printed(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """The rows that a benchmark printed with --json; what it says after them is left out."""
    rows: list[Any] = json.JSONDecoder().raw_decode(capsys.readouterr().out)[0]
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "answers"])
def test_b5_a_benchmark_runs(name: str, bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bench(name, "--quick", "--json")
    rows = rows_printed(capsys)
    assert rows and all(isinstance(row, dict) and row for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--sweep",), ("--sweep", "--llm", "config:tiny")])
def test_b5_answers_without_a_detector(
    words: tuple[str, ...], bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llm = () if "--llm" in words else ("--llm", tiny_llm(tmp_path / "llm"))
    bench("answers", "--quick", "--json", "--device", "cpu", *llm, *words)
    assert [row["answers"] > 0 for row in rows_printed(capsys)] == [True, True]


@pytest.mark.slow
def test_b5_forgery_tokens(bench: Any, rules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, options = toy_m2f2det.toy_network(), ExplainerOptions.model_validate({**EXPLAINER, "stage": "align"})
    tiny_llm(tmp_path / "llm")
    projectors = {PREFIX + name: value for name, value in new_projectors(network, options, 32).state_dict().items()}
    write_tensors(tmp_path / "model.safetensors", {**network.state_dict(), **projectors})
    card = toy_m2f2det.toy_card(explainer=options.model_dump(mode="json")).model_copy(
        update={"backend": "m2f2det-explainer", "weights": "model.safetensors"}
    )
    (tmp_path / "card.yaml").write_text(json.dumps(card.model_dump(mode="json", exclude_defaults=True)))
    faces = f"{HELPERS / 'toy_questions.py'}:Faces"
    bench("forgery_tokens", tmp_path, "-s", faces, "-p", rules, "--limit", 4, "--out", tmp_path / "out")
    assert "toy-permuted" in capsys.readouterr().out and (tmp_path / "out" / "paired.md").exists()


@pytest.mark.slow
def test_b5_region_tokens(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = stages(tmp_path, FACES, region_tokens=True)["align"]
    bench("region_tokens", place, "-s", "synthetic", "--limit", 8, "--json")
    (found,) = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["images"] == 8 and found["swap"] == ["eyes", "mouth"] and found["over"] == "videos"
    assert all(len(row["less"]) == 3 for row in found["follows"])  # all people of this test split are of one group
    with pytest.raises(pytest.fail.Exception, match="has no tokens of regions: train it with region_tokens"):
        bench("region_tokens", stages(tmp_path / "plain", FACES)["align"])


def test_b5_regions_by_hand() -> None:
    """Of two forged faces the mouth is touched; the explainer calls both mouths and one nose fake."""
    made = runpy.run_path(str(FOLDER / "region_tokens.py"))

    def asked(number: int, label: int, region: str, touched: int) -> Any:
        face = Frame(f"f{number}", f"v{number}", label, "swap", "test", (f"p{number}",), Locator(""))
        return face, Question(f"{number}{region}", face.id, "Is it?", ("It is.",), region, touched, "blind")

    rows = [asked(n, 1, region, int(region == "mouth")) for n in (0, 1) for region in ("mouth", "nose")]
    rows += [asked(2, 0, region, 0) for region in ("mouth", "nose")]  # a real face, which does not count
    said = ["fake", "fake", "fake", "real", "fake", "fake"]
    (every,) = made["follows"](rows, said, {"f0": 0, "f1": 1, "f2": 2})
    assert (every["region"], every["these"][0], every["others"][0], every["less"][0]) == ("all", 1.0, 0.5, 0.5)
    assert every["n"] == [2, 2] and every["less"][1] <= 0.5 <= every["less"][2]
    assert made["shares"]([True], [True], [0]) is None

    class Explainer:
        projectors = torch.nn.Module()

    one = Explainer()
    one.projectors.forward = lambda p, patches, cells, regions: regions
    plain = made["swapped"](one, "eyes", "mouth")
    before = torch.arange(5.0)[None, :, None]
    after = one.projectors(None, None, None, before)
    changed = [REGIONS[n] for n in range(5) if before[0, n] != after[0, n]]
    assert changed == ["eyes", "mouth"] and after[0, 1] == 3 and after[0, 3] == 1
    assert plain(0, 0, 0, before) is before


def test_b5_the_same_weights_are_asked_with_repetitions(bench: Any, tmp_path: Path) -> None:
    (merged := tmp_path / "merged").mkdir()
    card = {"name": "small", "options": {"explainer": {"generation": {"may_repeat": False, "batch_size": 2}}}}
    (merged / "card.yaml").write_text(yaml.safe_dump(card))
    (merged / "model.safetensors").write_bytes(b"weights")
    other = runpy.run_path(str(FOLDER / "explainer.py"))["with_repeats"](merged)
    sys.modules.pop("common", None)
    found = yaml.safe_load((other / "card.yaml").read_text())["options"]["explainer"]["generation"]
    assert found == {"may_repeat": True, "batch_size": 2} and (other / "model.safetensors").read_bytes() == b"weights"
    assert yaml.safe_load((merged / "card.yaml").read_text()) == card


def test_b5_an_explainer_against_the_look_ups(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The committed results of a training, laid out as the program leaves them: no model, no research data."""
    own, place = "m2f2det-small-explainer", tmp_path / "ddvqa-c40" / "seed0"
    place.mkdir(parents=True)
    for name in (own, f"control-medoid-verdict@{own}", f"control-frequent-verdict@{own}"):
        for questions in ("explain-blind", "explain-released"):
            for ending in ("json", "parquet"):
                kept = ROOT / "leaderboards" / "explanations" / f"{name}--ddvqa-c40--{questions}.{ending}"
                shutil.copy(kept, place / f"{name}--{questions}.{ending}")
    touched = {"these": [0.75, 0.5, 1.0], "others": [0.25, 0.0, 0.5], "less": [0.5, 0.125, 0.875]}
    regions = {"follows": [{"region": "mouth", **touched}], "swap": ["eyes", "mouth"], "changed": touched}
    (place / "regions.json").write_text(json.dumps(regions))
    bench("explainer", "ddvqa-c40", "--tables", "--into", tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert "| mouth | 0.750 [0.500, 1.000] | 0.250 [0.000, 0.500] | 0.500 [0.125, 0.875] |" in lines
    assert lines[-1].startswith("Verdicts that change as eyes and mouth are exchanged: 0.750 [0.500, 1.000]; others")
    assert len([line for line in lines if line.startswith("| `explain-")]) == 2 + 2 * 6
    rows = json.loads((tmp_path / "ddvqa-c40.json").read_text())
    mine, other = (
        json.loads((place / f"{name}--explain-blind.json").read_text())["metrics"]["cider"]["value"]
        for name in (own, f"control-medoid-verdict@{own}")
    )
    found = {(one["look_up"], one["metric"]): one for one in rows[0]["less"]}
    assert found["medoid", "cider"]["difference"] == pytest.approx(mine - other)
    smallest = min(one["p"] for one in rows[0]["less"])
    assert min(one["p_holm"] for one in rows[0]["less"]) == pytest.approx(6 * smallest)


def test_b5_token_sizes(bench: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tensors(tmp_path / "model.safetensors", toy_m2f2det.toy_network().state_dict())
    card = toy_m2f2det.toy_card().model_copy(update={"weights": "model.safetensors"})
    (tmp_path / "card.yaml").write_text(json.dumps(card.model_dump(mode="json", exclude_defaults=True)))
    bench("token_sizes", tmp_path, "--llm", tiny_llm(tmp_path / "llm"), "--json")
    new, *others = rows_printed(capsys)
    assert new["drawn"] == "as words" and all(0.5 < new[name] < 2 for name in ("visual", "cells", "verdict"))
    assert [one["drawn"] for one in others] == ["N(0, 0.02²)", "N(0, 0.1²)"]


def test_b5_all_of_them_are_run_even_where_one_fails(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def run(words: list[str]) -> Any:
        asked.append(Path(words[1]).stem)
        return subprocess.CompletedProcess(words, int(asked[-1] in ("memory", "answers")))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(pytest.fail.Exception, match=r"failed, or short of what is asked: memory, answers$"):
        bench("all", "--quick")
    assert sorted(asked) == NAMES
