"""Hostile detectors and datasets of somebody's own: the command asks for their code, which does what it likes."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

from pathlib import Path

from hostile import Case, Check, Outcome, either, refused, works
from hostile_materials import saved

DETECTOR = """import math, os, sys
import numpy as np
class X:
    def predict(self, images):
        {body}
"""
ADAPTER = """import os, sys
import numpy as np
from m2f2bench import Adapter, Frame, FrameError, Locator
def frame(i, **how):
    told = dict(id=f"f{{i}}", video=f"v{{i}}", label=i % 2, method="original" if i % 2 == 0 else "fake", split="test",
                identities=(), locator=Locator("x"))
    return Frame(**{{**told, **how}})
class X(Adapter):
    splits = ("test",)
    def frames(self, split):
        {frames}
    def read(self, frame):
        {read}
"""
FRAMES = "return [frame(i) for i in range(6)]"
READ = "return np.zeros((16, 16, 3), np.uint8)"
RUN = ("run", "-d", "p.py:X", "-s", "data", "--out", "o", "--json")
USE = ("run", "-d", "constant", "-s", "p.py:X", "--out", "o", "--json")


def data(folder: Path) -> None:
    for label in ("real", "fake"):
        (folder / "data" / label).mkdir(parents=True)
        for i in range(3):
            (folder / "data" / label / f"{i}.png").write_bytes(saved("PNG"))


NOISE = {"predict-prints": ("hello",), "predict-warning": ("/", "  import warnings")}
"""What a detector writes goes to stderr as it is."""


def file(text: str, words: tuple[str, ...], check: Check, name: str) -> Case:
    def draw(folder: Path) -> None:
        data(folder)
        (folder / "p.py").write_text(text)

    return Case(name, draw, words, check, ("p.py",), noise=NOISE.get(name, ()))


def failed(outcome: Outcome, *, frames: int = 6) -> str:
    """Refused, or rows that say that there was an error; nothing is scored."""
    if outcome.status != 0:
        return refused(outcome)
    found = outcome.json()[0]["statuses"]
    return "" if found.get("ok", 0) == 6 - frames else f"{found}"


BODIES: list[tuple[str, str, Check]] = [
    ("plain", "return [0.5 for _ in images]", works),
    ("array", "return np.full(len(images), 0.5)", works),
    ("single-precision", "return np.full(len(images), 0.5, np.float32)", works),
    ("tuple", "return tuple(0.5 for _ in images)", works),
    ("whole-numbers", "return [1 for _ in images]", works),
    ("generator", "return (0.5 for _ in images)", either),
    ("column", "return np.full((len(images), 1), 0.5)", either),
    ("prints", "print('hello'); sys.stderr.write(''); return [0.5 for _ in images]", either),
    ("writes-into-the-pictures", "images[0][:] = 0; return [0.5 for _ in images]", either),
    ("a-bit-over-one", "return [1.0000001 for _ in images]", failed),
    ("none", "return None", failed),
    ("number", "return 0.5", failed),
    ("text", "return 'fake'", failed),
    ("texts", "return ['0.5' for _ in images]", failed),
    ("dictionaries", "return [{'fake': 0.5} for _ in images]", failed),
    ("lists-of-lists", "return [[0.5, 0.5] for _ in images]", failed),
    ("ragged", "return [[0.5] * i for i in range(len(images))]", failed),
    ("nones", "return [None for _ in images]", failed),
    ("truth-values", "return [True for _ in images]", either),
    ("complex", "return [0.5 + 0j for _ in images]", failed),
    ("objects", "return [object() for _ in images]", failed),
    ("nan", "return [math.nan for _ in images]", failed),
    ("infinity", "return [math.inf for _ in images]", failed),
    ("minus-one", "return [-1.0 for _ in images]", failed),
    ("percentages", "return [50.0 + i for i in range(len(images))]", failed),
    ("logits", "return [-3.5 + i for i in range(len(images))]", failed),
    ("too-few", "return [0.5]", failed),
    ("too-many", "return [0.5] * 100", failed),
    ("none-at-all", "return []", failed),
    ("endless", "import itertools; return itertools.repeat(0.5)", failed),
    ("value-error", "raise ValueError('three\\nlines\\nlong')", failed),
    ("error-without-words", "raise RuntimeError", failed),
    ("error-of-a-megabyte", "raise RuntimeError('x' * 1_000_000)", failed),
    ("error-that-cannot-be-told", "class E(Exception):\n            __str__ = lambda self: 1 / 0\n        raise E", failed),
    ("error-of-no-text", "class E(Exception):\n            __str__ = lambda self: 7\n        raise E", failed),
    ("error-of-a-surrogate", "raise RuntimeError('\\ud800')", failed),
    ("error-of-an-escape", "raise RuntimeError('\\x1b[2J')", failed),
    ("error-group", "raise BaseExceptionGroup('all', [ValueError()]) if sys.version_info >= (3, 11) else ValueError", failed),
    ("system-exit", "sys.exit()", failed),
    ("system-exit-of-7", "sys.exit(7)", failed),
    ("system-exit-with-a-text", "sys.exit('enough')", failed),
    ("stop-iteration", "raise StopIteration", failed),
    ("generator-exit", "raise GeneratorExit", failed),
    ("recursion", "return self.predict(images)", failed),
    ("assertion", "assert False", failed),
    ("memory", "raise MemoryError", failed),
    ("warning", "import warnings; warnings.warn('careful'); return [0.5 for _ in images]", either),
    ("fails-on-one", "return [0.5 if len(images) == 1 else 1 / 0 for _ in images]", either),
]  # fmt: skip

FILES: list[tuple[str, str, Check]] = [
    ("file-empty", "", refused),
    ("file-of-a-mistake", "class X:\n  def predict(self, images)\n    return 1\n", refused),
    ("file-of-null-bytes", "class X: pass\0\n", refused),
    ("file-of-another-encoding", "# coding: no-such-thing\nclass X: pass\n", refused),
    ("file-nested-deep", "(" * 10_000, refused),
    ("file-that-imports-nothing", "import no_such_module\nclass X: pass\n", refused),
    ("file-that-exits", "import sys\nsys.exit(3)\n", refused),
    ("file-that-is-interrupted", "raise GeneratorExit\n", refused),
    ("file-that-recurses", "def f(): f()\nf()\n", refused),
    ("file-without-the-class", "class Y:\n    def predict(self, images): return []\n", refused),
    ("file-of-a-function", "def X(images): return [0.5 for _ in images]\n", refused),
    ("class-without-predict", "class X: pass\n", refused),
    ("class-whose-predict-is-a-number", "class X:\n    predict = 7\n", refused),
    ("class-that-wants-arguments", "class X:\n    def __init__(self, size): pass\n    def predict(self, images): return []\n", refused),
    ("class-that-fails", "class X:\n    def __init__(self): raise ValueError('no')\n    def predict(self, images): return []\n", refused),
    ("class-that-exits", "import sys\nclass X:\n    def __init__(self): sys.exit(0)\n    def predict(self, images): return []\n", refused),
    ("class-that-recurses", "class X:\n    def __init__(self): self.__init__()\n    def predict(self, images): return []\n", refused),
    ("class-whose-attributes-fail", "class X:\n    def __getattr__(self, name): raise RuntimeError(name)\n    def predict(self, images): return [0.5 for _ in images]\n", either),
    ("class-with-an-endless-state", "class X:\n    def __init__(self):\n        self.me = [self]\n    def predict(self, images): return [0.5 for _ in images]\n", works),
    ("class-with-a-deep-state", "class X:\n    def __init__(self):\n        x = []\n        for _ in range(100000): x = [x]\n        self.x = x\n    def predict(self, images): return [0.5 for _ in images]\n", either),
    ("class-whose-fingerprint-fails", "class X:\n    def fingerprint(self): raise ValueError('no')\n    def predict(self, images): return [0.5 for _ in images]\n", either),
    ("class-whose-fingerprint-exits", "import sys\nclass X:\n    def fingerprint(self): sys.exit(0)\n    def predict(self, images): return [0.5 for _ in images]\n", either),
    ("class-whose-fingerprint-is-a-list", "class X:\n    def fingerprint(self): return [1]\n    def predict(self, images): return [0.5 for _ in images]\n", either),
    ("class-of-a-strange-name", "class X:\n    name = '../../x\\n'\n    def predict(self, images): return [0.5 for _ in images]\n", either),
]  # fmt: skip

DATASETS: list[tuple[str, str, str, Check]] = [
    ("plain", FRAMES, READ, works),
    ("frames-none", "return None", READ, refused),
    ("frames-number", "return 7", READ, refused),
    ("frames-empty", "return []", READ, refused),
    ("frames-texts", "return ['a', 'b']", READ, refused),
    ("frames-generator", "return (frame(i) for i in range(6))", READ, either),
    ("frames-error", "raise ValueError('no\\nframes')", READ, refused),
    ("frames-os-error", "raise OSError(5, 'Input/output error')", READ, refused),
    ("frames-exit", "sys.exit(0)", READ, refused),
    ("frames-recursion", "return self.frames(split)", READ, refused),
    ("frames-same-id", "return [frame(0), frame(0)]", READ, refused),
    ("frames-label-2", "return [frame(0, label=2)]", READ, refused),
    ("frames-label-text", "return [frame(0, label='real')]", READ, refused),
    ("frames-id-number", "return [frame(i, id=i) for i in range(6)]", READ, refused),
    ("frames-id-none", "return [frame(0, id=None)]", READ, refused),
    ("frames-id-empty", "return [frame(0, id='')]", READ, either),
    ("frames-id-surrogate", "return [frame(i, id=f'\\ud800{i}') for i in range(6)]", READ, either),
    ("frames-method-none", "return [frame(i, method=None) for i in range(6)]", READ, refused),
    ("frames-video-number", "return [frame(i, video=i) for i in range(6)]", READ, refused),
    ("frames-identities-text", "return [frame(i, identities='ab') for i in range(6)]", READ, either),
    ("frames-identities-numbers", "return [frame(i, identities=(1, 2)) for i in range(6)]", READ, refused),
    ("frames-of-another-split", "return [frame(i, split='train') for i in range(6)]", READ, either),
    ("read-none", FRAMES, "return None", failed),
    ("read-list", FRAMES, "return [[0]]", failed),
    ("read-text", FRAMES, "return 'x.png'", failed),
    ("read-floats", FRAMES, "return np.zeros((16, 16, 3))", failed),
    ("read-grey", FRAMES, "return np.zeros((16, 16), np.uint8)", failed),
    ("read-alpha", FRAMES, "return np.zeros((16, 16, 4), np.uint8)", failed),
    ("read-channels-first", FRAMES, "return np.zeros((3, 16, 16), np.uint8)", failed),
    ("read-empty", FRAMES, "return np.zeros((0, 16, 3), np.uint8)", failed),
    ("read-objects", FRAMES, "return np.full((16, 16, 3), None)", failed),
    ("read-views", FRAMES, "return np.zeros((32, 32, 3), np.uint8)[::-2, ::2]", works),
    ("read-error", FRAMES, "raise ValueError('no\\npixels')", failed),
    ("read-frame-error", FRAMES, "raise FrameError(frame.id, 'no pixels')", failed),
    ("read-frame-error-of-a-strange-status", FRAMES, "raise FrameError(frame.id, 'no pixels', 'ok')", failed),
    ("read-exit", FRAMES, "sys.exit(0)", failed),
    ("read-stop-iteration", FRAMES, "raise StopIteration", failed),
    ("read-recursion", FRAMES, "return self.read(frame)", failed),
    ("read-memory", FRAMES, "raise MemoryError", refused),
    ("read-no-descriptor", FRAMES, "raise OSError(24, 'Too many open files')", failed),
    ("read-one-of-six", FRAMES, "return np.zeros((16, 16, 3), np.uint8) if frame.id == 'f1' else None", refused),
    ("read-interrupted", FRAMES, "raise GeneratorExit", failed),
]  # fmt: skip

CLASSES: list[tuple[str, str, Check]] = [
    ("adapter-of-no-base", "class X:\n    pass\n", refused),
    ("adapter-without-read", "from m2f2bench import Adapter\nclass X(Adapter):\n    def frames(self, split): return []\n", refused),
    ("adapter-that-fails", "from m2f2bench import Adapter\nclass X(Adapter):\n    def __init__(self, *a, **k): raise ValueError('no')\n    frames = read = None\n", refused),
    ("adapter-that-exits", "import sys\nfrom m2f2bench import Adapter\nclass X(Adapter):\n    def __init__(self, *a, **k): sys.exit(0)\n    frames = read = None\n", refused),
    ("adapter-of-split-numbers", ADAPTER.format(frames=FRAMES, read=READ).replace('("test",)', "(1, 2)"), refused),
    ("adapter-of-a-split-text", ADAPTER.format(frames=FRAMES, read=READ).replace('("test",)', '"test"'), refused),
    ("adapter-of-no-splits", ADAPTER.format(frames=FRAMES, read=READ).replace('("test",)', "()"), refused),
    ("adapter-whose-digest-fails", ADAPTER.format(frames=FRAMES, read=READ) + "    def digest(self, frame, image): raise ValueError('no')\n", failed),
    ("adapter-whose-digest-is-a-number", ADAPTER.format(frames=FRAMES, read=READ) + "    def digest(self, frame, image): return 7\n", either),
    ("adapter-whose-stamp-fails", ADAPTER.format(frames=FRAMES, read=READ) + "    def stamp(self, frame): raise ValueError('no')\n", either),
    ("adapter-whose-stamp-is-a-number", ADAPTER.format(frames=FRAMES, read=READ) + "    def stamp(self, frame): return 7\n", either),
    ("adapter-whose-close-fails", ADAPTER.format(frames=FRAMES, read=READ) + "    def close(self): raise ValueError('no')\n", either),
]  # fmt: skip

CASES = [
    *[file(DETECTOR.format(body=body), RUN, check, f"predict-{name}") for name, body, check in BODIES],
    *[file(text, RUN, check, name) for name, text, check in FILES],
    *[file(ADAPTER.format(frames=frames, read=read), USE, check, f"dataset-{name}") for name, frames, read, check in DATASETS],
    *[file(text, USE, check, name) for name, text, check in CLASSES],
    *[file(text, ("describe", "p.py:X"), either, f"describe-{name}") for name, text, _ in FILES[:8]],
    Case("file-missing", data, ("run", "-d", "gone.py:X", "-s", "data"), refused),
    Case("file-a-folder", lambda folder: (data(folder), (folder / "p.py").mkdir()), ("run", "-d", "p.py:X", "-s", "data"), refused),
    Case("file-of-zeros", lambda folder: (data(folder), (folder / "p.py").symlink_to("/dev/zero")), ("run", "-d", "p.py:X", "-s", "data"), refused),
    Case("class-of-no-name", data, ("run", "-d", "p.py:", "-s", "data"), refused),
    Case("class-of-a-path", data, ("run", "-d", "p.py:os.system", "-s", "data"), refused),
]  # fmt: skip
