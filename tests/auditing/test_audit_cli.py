"""The command `audit`: what it prints, writes and returns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from audit_folder import build, picture, save


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("M2F2BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def leaky(tmp_path: Path) -> str:
    planted = build(tmp_path / "data")
    save(picture(50, 0), planted.add("train/one.img", "real", "original", "train", "friend"))
    path = planted.add("test/copy.img", "real", "original", "test", "stranger")
    shutil.copy(planted.root / "train/one.img", path)
    return planted.finish()


def test_prints_findings_first(cli, leaky: str) -> None:
    outcome = cli("audit", leaky, "--no-probe")
    assert outcome.status == 0 and outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0] == "# Audit of list" and lines[2].startswith("110 frames looked at (train 73, test 37)")
    first = lines.index("## Findings: 1 leak, 0 warnings, 1 note") + 2
    assert lines[first].startswith("- **leak** (duplicates): 1 pair of frames with equal pixels across splits")
    assert lines.index("## Duplicates") > first and "Shortcuts" not in outcome.out


def test_json_and_files_hold_the_same(cli, leaky: str, tmp_path: Path) -> None:
    found = json.loads(cli("audit", leaky, "--no-probe", "--json", "--out", tmp_path / "a.json").out)
    assert found == json.loads((tmp_path / "a.json").read_text())
    assert found["dataset"] == "list" and found["counts"] == {"leak": 1, "warning": 0, "note": 1}
    assert found["settings"]["near"] == 8 and len(found["splits"]["train"]["hash"]) == 12
    text = cli("audit", leaky, "--no-probe", "--out", tmp_path / "a.md").out
    assert text == (tmp_path / "a.md").read_text() + f"\nwrote {tmp_path / 'a.md'}\n"


def test_strict_is_a_failed_check(cli, leaky: str, tmp_path: Path) -> None:
    outcome = cli("audit", leaky, "--no-probe", "--strict")
    assert outcome.status == 1 and "## Findings" in outcome.out
    assert outcome.err.startswith("m2f2bench: 'list' leaks (1 finding), first duplicates: 1 pair of frames with equal")
    assert len(outcome.err.strip().splitlines()) == 1
    clean = build(tmp_path / "clean").finish()
    assert cli("audit", clean, "--no-probe", "--strict").status == 0


def test_splits_and_mistakes(cli, one_line, leaky: str, tmp_path: Path) -> None:
    found = json.loads(cli("audit", leaky, "--no-probe", "--json", "--split", "test", "--limit", 5).out)
    assert list(found["splits"]) == ["test"] and found["splits"]["test"]["frames"] == 5
    assert "has no val split" in one_line(cli("audit", leaky, "--split", "val"))
    assert "must end in .json or .md" in one_line(cli("audit", leaky, "--out", tmp_path / "a.txt"))
    assert "nowhere" in one_line(cli("audit", "nowhere"))
