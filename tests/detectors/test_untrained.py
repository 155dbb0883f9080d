"""The command that the message about an untrained detector names: it trains that detector as the user named it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CODE = """\
from torch import nn

import m2f2bench


class Net(m2f2bench.NetworkDetector):
    @classmethod
    def build(cls) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 2, 5, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
"""
CARD = "name: own\nbackend: net.py:Net\ninput: {size: 16}\ntraining: {epochs: 1}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a network's class, and a card of it in a folder below."""
    (tmp_path / "net.py").write_text(CODE)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "net.py").write_text(CODE)
    (tmp_path / "cards" / "own.yaml").write_text(CARD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("named", ["net.py:Net", "cards/own.yaml"])
def test_the_command_of_the_message_trains_it(cli, one_line, here: Path, named: str) -> None:
    line = one_line(cli("run", "-d", named, "-s", "synthetic", "--limit", 12))
    words = re.search("run `m2f2bench (train .*?)` and give DIR as the detector, or name your weights", line)
    assert words is not None and words[1] == f"train {named} --dataset S --out DIR", line
    if named.endswith(".yaml"):  # a class without a card has the default settings, which take a minute
        given = [{"S": "synthetic", "DIR": "out"}.get(word, word) for word in words[1].split()]
        assert cli(*given).status == 0 and (here / "out" / "model.safetensors").is_file()


def test_a_card_or_class_in_the_current_folder_is_named_for_an_unknown_name(cli, one_line, here: Path) -> None:
    (here / "mine.yaml").write_text("name: mine\nbackend: constant\n")
    assert "; for your own give mine.yaml" in one_line(cli("run", "-d", "mine", "-s", "synthetic"))
    assert "; for your own give net.py:Net" in one_line(cli("train", "net.Net", "-s", "synthetic", "--out", "o"))
    for name in ("net.Other.Net", "x" * 253, "absent"):
        assert "for your own" not in one_line(cli("run", "-d", name, "-s", "synthetic"))
