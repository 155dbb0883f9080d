"""Identity of code and objects: any change in what decides a score changes it, and nothing else does."""

from __future__ import annotations

import copy
import os
import py_compile
import subprocess
import sys
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from m2f2bench.core import sources
from m2f2bench.core.identity import identify
from m2f2bench.core.sources import Unidentified


class Kind(Enum):
    ONE = 1
    TWO = 2


@dataclass
class Settings:
    size: int = 3
    names: list[str] = field(default_factory=lambda: ["a"])


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value = value


class Own:
    """Any object of a user's."""

    def __init__(self, state: Any = None) -> None:
        self.state = state


def of(state: Any) -> str:
    return identify(Own, Own(state))


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    return repr(one) == repr(other)


@pytest.mark.slow
@given(plain, plain)
def test_equal_states_alone_have_one_identity(one: Any, other: Any) -> None:
    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value)}
        return [ordered(item) for item in value] if isinstance(value, list) else value

    assert (of(one) == of(other)) == same(ordered(one), ordered(other))
    assert of(copy.deepcopy(one)) == of(one)


@pytest.mark.slow
@given(plain, st.sampled_from(["key", 0, "deep"]))
def test_any_change_however_deep(value: Any, key: Any) -> None:
    state = {"key": {"deep": [1, {0: value}]}}
    other = {"key": {"deep": [1, {0: [value]}]}}
    assert of(state) != of(other) and of({key: value}) != of({key: [value]})


def network(seed: int = 0, p: float = 0.1) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2), torch.nn.Dropout(p))


def changed(change: Any) -> torch.nn.Module:
    found = network()
    with torch.no_grad():
        change(found)
    return found


class Pickled:
    """Pickled in its own way, with all that pickle takes: state, items, pairs and what sets the state."""

    def __init__(self, state: Any = None, items: Any = (), pairs: Any = None) -> None:
        self.parts = state, items, pairs or {}

    def __reduce__(self) -> tuple[Any, ...]:
        state, items, pairs = self.parts
        return Pickled, (), state, iter(items), iter(pairs.items()), setattr


PAIRS = {
    "array": (np.arange(3), np.array([0, 1, 3])),
    "type of array": (np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int64)),
    "shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "array of objects": (np.array(["a", None], object), np.array(["b", None], object)),
    "tensor": (torch.arange(3), torch.tensor([0, 1, 3])),
    "bfloat16": (torch.ones(3, dtype=torch.bfloat16), torch.ones(3, dtype=torch.float16)),
    "weight": (network(), changed(lambda n: n[0].weight[0, 0].add_(1e-7))),
    "buffer": (network(), changed(lambda n: n[1].running_mean.add_(1))),
    "setting of a layer": (network(), network(p=0.2)),
    "set": ({"a", "b", "c"}, {"a", "b", "d"}),
    "enum": (Kind.ONE, Kind.TWO),
    "dataclass": (Settings(), Settings(names=["b"])),
    "slots": (Slotted(1), Slotted(2)),
    "function": (lambda x: x + 1, lambda x: x + 2),
    "closure": ((lambda k: lambda x: x + k)(1), (lambda k: lambda x: x + k)(2)),
    "partial": (partial(max, 1), partial(max, 2)),
    "class": (Slotted, Settings),
    "bound method": (Settings(1).__repr__, Settings(2).__repr__),
    "generator": (np.random.default_rng(0), np.random.default_rng(1)),
    "torch generator": (torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)),
    "ordered": (OrderedDict(a=1), OrderedDict(a=2)),
    "list subclass": (type("L", (list,), {})([1]), type("L", (list,), {})([2])),
    "int and float": (1, 1.0),
    "deque": (deque([1]), deque([2])),
    "own pickling": (Pickled({"a": 1}), Pickled({"a": 2})),
    "own items": (Pickled(None, [1]), Pickled(None, [2])),
    "own pairs": (Pickled(None, (), {"a": 1}), Pickled(None, (), {"a": 2})),
    "minus zero": (0.0, -0.0),
    "list and tuple": ([1], (1,)),
    "script": (torch.jit.script(network()), torch.jit.script(changed(lambda n: n[0].bias.add_(1)))),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_a_state_may_hold(name: str) -> None:
    one, other = PAIRS[name]
    assert of([one]) == of([one])
    assert of([one]) != of([other])


def test_what_decides_no_score_is_no_part_of_it() -> None:
    held, again = network(), network()
    again.train(not held.training)
    assert of(held) == of(again)
    assert of(threading.Lock()) == of(threading.Lock())
    table = np.arange(6.0).reshape(2, 3)
    assert of(table) == of(np.asfortranarray(table)) == of(np.repeat(table, 2, axis=1)[:, ::2])
    circle: list[Any] = [1]
    circle.append(circle)
    other: list[Any] = [1]
    other.append(other)
    assert of(circle) == of(other)


def test_what_cannot_be_told_apart_is_named() -> None:
    with pytest.raises(Unidentified, match=r"Own\.state\[1\]\.session is a builtins.generator"):
        of([1, {"session": (one for one in "ab")}])
    with pytest.raises(Unidentified, match="without plain values"):
        of(torch.ones(2, device="meta"))
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(Unidentified, match="nested too deep"):
        of(deep)


def test_a_named_file_is_what_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pth").write_bytes(content)
    assert of("a/w.pth") == of(Path("b/w.pth")) == of(str(tmp_path / "a" / "w.pth")) != of("c/w.pth")
    assert of("a") != of("b")  # a name without a point or a slash names nothing
    assert of("./a") == of("./b") != of("./c")  # a folder with weights in it
    (tmp_path / "a" / "config.json").write_text("{}")
    assert of("./a") != of("./b")
    assert of("nothing.pth") != of("other.pth")
    (tmp_path / "run.log").write_text("a line")
    held = of("run.log")
    (tmp_path / "run.log").write_text("two lines")
    assert of("run.log") == held
    assert identify(Own, "w.pth", folders=[tmp_path / "a"]) != identify(Own, "w.pth", folders=[tmp_path / "c"])


SOURCES = {
    "mine.py": "import helper\nfrom pack.deep import value\n\nclass Base:\n    x = 1\n\nclass Mine(Base):\n"
    "    def lazy(self):\n        from late import z\n        return z, open('settings.json')\n",
    "helper.py": "import second\n",
    "second.py": "A = 1\n",
    "late.py": "z = 1\n",
    "pack/__init__.py": "",
    "pack/deep.py": "from .sibling import value\n",
    "pack/sibling.py": "value = 1\n",
    "settings.json": "{}",
    "unused.py": "B = 1\n",
}


def told(folder: Path) -> str:
    """The identity of `mine.Mine` in a new Python."""
    code = "import mine; from m2f2bench.core.identity import identify; print(identify(mine.Mine, mine.Mine().__dict__))"
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write_sources(folder: Path, **changes: str) -> Path:
    for name, text in {**SOURCES, **changes}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_every_module_that_a_class_rests_on(tmp_path: Path) -> None:
    first = told(write_sources(tmp_path / "a"))
    assert told(write_sources(tmp_path / "elsewhere")) == first  # wherever it lies
    for name in ("mine.py", "second.py", "late.py", "pack/__init__.py", "pack/sibling.py"):
        changed = {name: SOURCES[name] + "\n# other\n"}
        assert told(write_sources(tmp_path / name.replace("/", "-"), **changed)) != first, name
    assert told(write_sources(tmp_path / "s", **{"settings.json": "[]"})) != first
    assert told(write_sources(tmp_path / "u", **{"unused.py": "B = 2\n"})) == first


def test_a_source_that_changes_while_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was imported is the old state, what lies there the new one: neither's name can be given."""
    write_sources(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import mine  # type: ignore[import-not-found]

    identify(mine.Mine)
    (tmp_path / "second.py").write_text("A = 2\n")
    with pytest.raises(Unidentified, match=r"'second.py' has changed since Python imported it"):
        identify(mine.Mine)
    for name in ("mine", "helper", "second", "pack", "pack.deep", "pack.sibling"):
        sys.modules.pop(name, None)
    sources.forget(tmp_path / "second.py")


def test_weights_that_a_module_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "globalweights.py").write_text("import numpy as np\nW = np.ones(3)\nclass Mine:\n    v = np.zeros(2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import globalweights  # type: ignore[import-not-found]

    first = identify(globalweights.Mine)
    globalweights.W[0] = 2.0
    second = identify(globalweights.Mine)
    globalweights.Mine.v[0] = 1.0
    assert len({first, second, identify(globalweights.Mine)}) == 3
    del sys.modules["globalweights"]


def test_an_installed_class_goes_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    first = identify(LogisticRegression)
    monkeypatch.setattr(sources, "_version", lambda name: "0.0")
    assert identify(LogisticRegression) != first


def test_a_file_that_changed_is_executed_again(tmp_path: Path) -> None:
    from m2f2bench.cards.registry import load_from_file

    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    level = 1\n")
    first = load_from_file(f"{path}:Mine", "backend")
    assert load_from_file(f"{path}:Mine", "backend") is first
    held = identify(first)
    path.write_text("class Mine:\n    level = 2\n")
    second = load_from_file(f"{path}:Mine", "backend")
    assert second.level == 2 and identify(second) != held  # type: ignore[attr-defined]


@pytest.mark.parametrize("changed", ["mine", "helper"])
def test_a1_compiled_files_are_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    """A change within a second, to a text of the same size: Python's own `__pycache__` does not see it."""
    from m2f2bench.cards.registry import load_from_file

    name = f"helper_{tmp_path.name.replace('-', '_')}"
    texts = {"mine": f"from {name} import ONE\n\nclass Mine:\n    level = (ONE, 1)\n", "helper": "ONE = 1\n"}
    monkeypatch.syspath_prepend(tmp_path)
    path, helper = tmp_path / "mine.py", tmp_path / f"{name}.py"
    path.write_text(texts["mine"])
    helper.write_text(texts["helper"])
    py_compile.compile(str(path))  # as `import mine` would have done
    first = load_from_file(f"{path}:Mine", "backend")
    held = identify(first)
    {"mine": path, "helper": helper}[changed].write_text(texts[changed].replace(" 1", " 2"))
    if changed == "helper":  # Python has it imported: which of its texts is in use cannot be told
        with pytest.raises(Unidentified, match="has changed since Python imported it: start Python again"):
            identify(load_from_file(f"{path}:Mine", "backend"))
    else:
        second = load_from_file(f"{path}:Mine", "backend")
        assert second.level == (1, 2) and identify(second) != held  # type: ignore[attr-defined]
    assert [one.name.partition(".")[0] for one in tmp_path.rglob("*.pyc")] == ["mine"]
