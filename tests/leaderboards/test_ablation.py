"""The committed ablation tables are what the committed rows make, by an independent computation too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from paths import ROOT
from sklearn.metrics import roc_auc_score

ABLATION = ROOT / "leaderboards" / "ablation"


@pytest.mark.parametrize("dataset", ["synthetic", "ddvqa-c40"])
def test_the_tables_come_from_the_rows(tmp_path: Path, dataset: str) -> None:
    shutil.copytree(ABLATION / dataset, tmp_path / dataset)
    script = ROOT / "benchmarks" / "ablation.py"
    words = [sys.executable, str(script), dataset, "--tables", "--into", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{dataset}.md").read_text() == (ABLATION / f"{dataset}.md").read_text() == done.stdout
    page = (ROOT / "docs" / "findings" / "parts.md").read_text(encoding="utf-8")
    assert f'{{{{ markdown("ablation/{dataset}") }}}}' in page
    made = json.loads((tmp_path / f"{dataset}.json").read_text())
    assert {"m2f2det-small", "m2f2det-small-cnn"} <= set(made)
    whole = made["m2f2det-small"]
    for detector, found in made.items():
        for seed, auc in zip(found["seeds"], found["auc"], strict=True):
            rows = pd.read_parquet(ABLATION / dataset / f"seed{seed}" / f"{detector}.parquet")
            assert auc == pytest.approx(roc_auc_score(rows.label, rows.score), abs=1e-12)
        assert found["mean"] == pytest.approx(sum(found["auc"]) / len(found["auc"]))
        assert found["ci"][0] <= found["mean"] <= found["ci"][1]
        if detector != "m2f2det-small":
            both = [seed for seed in found["seeds"] if seed in whole["seeds"]]
            by_seed = dict(zip(found["seeds"], found["auc"], strict=True))
            less = [by_seed[seed] - whole["auc"][whole["seeds"].index(seed)] for seed in both]
            assert found["difference"] == pytest.approx(sum(less) / len(less))
            if "p" in found:
                assert (found["p"] < 0.05) == (found["difference_ci"][0] > 0 or found["difference_ci"][1] < 0)
            else:  # the same scores: nothing to test
                assert less == [0.0] * len(less) and "difference_ci" not in found
