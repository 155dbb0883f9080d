"""The files and packages that a user's class rests on, however it imports them."""

from __future__ import annotations

import importlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from m2f2bench.cards.registry import load_from_file
from m2f2bench.core.sources import class_name, closure, installed


@pytest.mark.parametrize(
    ("where", "text", "found"),
    [
        ("top/inner/deep", "from ..helper import ONE", ["top/inner/helper.py"]),
        ("top/inner/deep", "from ...helper import ONE", ["top/helper.py"]),
        ("top/inner/deep", "from .helper import ONE", ["top/inner/deep/helper.py"]),
        ("top/inner/deep", "import os, json\nimport sklearn.svm\nfrom m2f2bench import Detector", []),
    ],
)
def test_f4_imports_of_every_kind_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, text: str, found: list[str]
) -> None:
    top = f"top_{tmp_path.name}".replace("-", "_")
    for folder in ("top", "top/inner", "top/inner/deep"):
        place = tmp_path / folder.replace("top", top, 1)
        place.mkdir()
        (place / "__init__.py").touch()
        (place / "helper.py").write_text(f"ONE = {folder!r}\n")
    module = tmp_path / where.replace("top", top, 1) / "mine.py"
    module.write_text(f"{text}\n\nclass Mine:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module(f"{top}.inner.deep.mine").Mine
    rests = closure((cls,))
    names = [str(path.relative_to(tmp_path)) for path, _ in rests.sources if path.stat().st_size]
    wanted = [one.replace("top", top, 1) for one in [f"{where}/mine.py", *found]]
    assert sorted(names) == sorted(wanted)
    packages = (f"sklearn {metadata.version('scikit-learn')}",) if "sklearn" in text else ()
    assert rests.packages == packages


def test_f4_a_module_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = f"helper_{tmp_path.name}".replace("-", "_")
    (tmp_path / "here").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "here" / f"{helper}.py").write_text("ONE = 1\n")
    path = tmp_path / "code" / "mine.py"
    path.write_text(f"def late():\n    import {helper}\n\nclass Mine:\n    pass\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend("")
    cls = load_from_file(f"{path}:Mine", "backend")
    assert {one.name for one, _ in closure((cls,)).sources} == {"mine.py", f"{helper}.py"}


def test_f4_classes_have_the_names_that_are_the_same_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "my_own.py"
    path.write_text("class Mine:\n    pass\n")
    assert class_name(load_from_file(f"{path}:Mine", "backend")) == "my_own.Mine"
    assert class_name(LogisticRegression) == "sklearn.linear_model._logistic.LogisticRegression"
    assert installed(LogisticRegression) == (f"sklearn {metadata.version('scikit-learn')}",)
    assert installed(np.ndarray) == (f"numpy {np.__version__}",) and installed(dict) == ()
