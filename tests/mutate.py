"""Small mistakes put into a module one at a time: which of them do its tests notice?

    python tests/mutate.py m2f2bench/results/store.py tests/results/test_store.py [--sample 30] [--seed 0]

Works on a copy of the checkout. A mistake is another comparison or operator, and for or, a constant off by one, or a
negated condition. Prints those that no test noticed, and the share of those that were. The tests
have to pass as they are first.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Imported once, before each mutant gets a process of its own: they are most of the time that a short test takes.
import pandas  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401
from paths import ROOT

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """Every single mistake: the line, what it is, and the module with it."""
    passed_over = set(without_effect(tree))
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in passed_over:
            continue
        for what, change in changes(node):
            whole = copy.deepcopy(tree)
            target = next(other for i, other in enumerate(ast.walk(whole)) if i == number)
            change(target)
            yield getattr(node, "lineno", 0), what, whole


def without_effect(tree: ast.Module) -> Iterator[int]:
    """The ids of nodes in annotations, in `@dataclass(...)` and in `strict=`, on which no value depends."""
    for node in ast.walk(tree):
        found = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        found += getattr(node, "decorator_list", [])
        found += [node] if isinstance(node, ast.keyword) and node.arg == "strict" else []
        for top in found:
            if top is not None:
                yield from (id(inner) for inner in ast.walk(top))


def changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The mistakes that can be made at one node: what, and a function that makes it."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        new = SWAPS[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {new.__name__}", lambda t: t.ops.__setitem__(0, new())
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        new = SWAPS[type(node.op)]
        yield f"{type(node.op).__name__} -> {new.__name__}", lambda t: setattr(t, "op", new())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not dropped", lambda t: setattr(t, "op", ast.UAdd()) or setattr(t, "operand", bool_of(t.operand))
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition negated", lambda t: setattr(t, "test", ast.UnaryOp(ast.Not(), t.test))
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{node.value} -> {node.value + 1}", lambda t: setattr(t, "value", t.value + 1)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"{node.value} -> {not node.value}", lambda t: setattr(t, "value", not t.value)


def bool_of(node: ast.expr) -> ast.expr:
    return ast.Call(ast.Name("bool", ast.Load()), [node], [])


def passes(place: Path, tests: list[str]) -> bool:
    """Whether all these tests pass in that checkout; in a process of its own, without modules of the project."""
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.chdir(place)
        os.environ["PYTHONPATH"] = str(place)
        sys.path[0] = str(place)
        try:
            os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--timeout", "300", "-m", "", *tests])))
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--sample", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lines", default="", help="FIRST-LAST")
    options = parser.parse_args()
    here = ROOT
    found = list(mutants(ast.parse((here / options.module).read_text())))
    if options.lines:
        first, last = map(int, options.lines.split("-"))
        found = [one for one in found if first <= one[0] <= last]
    chosen = random.Random(options.seed).sample(found, min(options.sample, len(found)))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkout"
        shutil.copytree(here, place, ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "dist"))
        if not passes(place, options.tests):
            raise SystemExit(f"{' '.join(options.tests)}: fails without a mistake; run it with pytest to see why")
        missed = []
        for line, what, tree in sorted(chosen, key=lambda one: one[0]):
            (place / options.module).write_text(ast.unparse(ast.fix_missing_locations(tree)))
            # A compiled one of the same second and size would be taken for it.
            Path(importlib.util.cache_from_source(str(place / options.module))).unlink(missing_ok=True)
            if passes(place, options.tests):
                missed.append(f"{options.module}:{line}: {what}")
                print("not noticed", missed[-1], flush=True)
    print(f"{options.module}: {len(chosen) - len(missed)} of {len(chosen)} noticed (of {len(found)} possible)")


if __name__ == "__main__":
    main()
