"""Commands as a user sees them: in a terminal of 80 columns, in a process of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SLOW = """
import time
class Slow:
    def predict(self, images):
        open("begun", "w").close()
        time.sleep(0.5)
        return [0.5] * len(images)
"""
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(folder: Path, words: Sequence[object], until: str = "") -> tuple[int, list[str]]:
    """Exit status and the lines that stay on the screen; Ctrl-C is typed when the file `until` exists."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.environ.pop("COLUMNS", None)
        os.environ.update(TERM="xterm", PYTHONPATH=os.pathsep.join(sys.path))
        os.execv(sys.executable, [sys.executable, "-m", "m2f2bench", *map(str, words)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.set_blocking(terminal, False)
    printed, end, typed = b"", time.monotonic() + 240, not until
    while time.monotonic() < end:
        if not typed and (folder / until).exists():
            os.write(terminal, b"\x03")
            typed = True
        try:
            part = os.read(terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        except OSError:  # the process has ended
            break
        if not part:
            break
        printed += part
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(terminal)
    text = CONTROL.sub("", printed.decode()).replace("\r\n", "\n")
    return status, [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder dataset with train and test splits of 12 small pictures each."""
    rng = np.random.default_rng(3)
    for split in ("train", "val", "test"):
        for name in ("real", "fake"):
            place = tmp_path / "faces" / split / name
            place.mkdir(parents=True)
            for number in range(6):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "faces"


@pytest.mark.slow
def test_training_says_what_it_wrote_and_a_command_that_can_be_copied(faces: Path, tmp_path: Path) -> None:
    status, lines = in_terminal(tmp_path, ["train", "frequency", "-s", "faces", "--out", "a folder"])
    assert status == 0, lines
    assert "wrote a folder" in lines and "next:  m2f2bench run -d 'a folder' -s faces" in lines
    assert all(len(line) <= 80 for line in lines)


def test_an_error_is_wrapped_between_words_and_a_path_stays_whole(tmp_path: Path) -> None:
    status, lines = in_terminal(tmp_path, ["run", "-d", "frequensies-of-mine", "-s", "synthetic"])
    text = [line for line in lines if line]
    assert status == 2 and len(text) > 1 and all(len(line) <= 80 for line in text)
    assert text[0].startswith("m2f2bench: unknown detector")
    place = "/".join(["folder"] * 20)
    status, lines = in_terminal(tmp_path, ["score", f"{place}/rows.csv"])
    assert status == 2 and any(f"{place}/rows.csv" in line for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "kept"),
    [([], "keeps nothing unfinished"), (["--heatmap", "maps"], "the heat maps written so far are kept in 'maps'")],
)
def test_ctrl_c_in_predict_speaks_of_heat_maps_only_if_they_are_wanted(
    faces: Path, tmp_path: Path, more: list[str], kept: str
) -> None:
    slow = SLOW + "    def heatmap(self, images):\n        return [image[..., 0] / 255 for image in images]\n"
    (tmp_path / "slow.py").write_text(slow)
    words = ["predict", "--no-faces", *sorted((faces / "test" / "fake").iterdir()) * 20, "-d", "slow.py:Slow", *more]
    status, lines = in_terminal(tmp_path, words, until="begun")
    assert status == 130 and kept in " ".join(lines)
    assert not any("^C" in line for line in lines if "m2f2bench:" in line)


ONCE = """
from pathlib import Path
class Any:
    def predict(self, images):
        if Path("begun").exists():
            return [0.5] * len(images)
        Path("begun").touch()
        """
CUT_OFF = """
class Name:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "exec('raise KeyboardInterrupt')",
        f"exec({CUT_OFF + 'class Owner: name = Name()'!r}, {{}})",  # Python 3.11 makes a RuntimeError of it
        "try:\n    raise KeyboardInterrupt\nexcept BaseException:\n    raise ValueError('bad picture') from None",
    ],
)
def test_ctrl_c_that_other_code_made_another_error_of_has_the_same_status(
    code: str, faces: Path, tmp_path: Path
) -> None:
    """In code that is compiled from a text, where Python itself changes the error, and where a detector does."""
    (tmp_path / "first.py").write_text(code)
    later = ONCE + code.replace("\n", "\n        ") + "\n        return [0.5] * len(images)\n"
    (tmp_path / "later.py").write_text(later)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("first", "later"):
        words = [sys.executable, "-m", "m2f2bench", "run", "-d", f"{name}.py:Any", "-s", "faces", "--out", "out"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 130 and "interrupted" in done.stderr, done.stderr
    assert not list(tmp_path.glob("out/**/result.json")), "an interrupted frame is no frame of its own fault"


def test_ctrl_c_while_the_program_starts_leaves_no_traceback(tmp_path: Path) -> None:
    code = "import sys\nclass Finder:\n    def find_spec(self, name, *more):\n        if name == 'typer':\n"
    code += "            raise KeyboardInterrupt\nsys.meta_path.insert(0, Finder())\n"
    code += "from m2f2bench.__main__ import main\nmain()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.slow
def test_ctrl_c_before_the_first_checkpoint_promises_none(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(
        "name: slow\nbackend: timm\ninput: {size: 32}\noptions: {model: resnet10t}\n"
        "training: {epochs: 100, batch_size: 2}\n"
    )
    status, lines = in_terminal(tmp_path, ["train", "slow.yaml", "-s", "faces", "--out", "o"], until="o")
    text = " ".join(lines)
    kept = bool(list(tmp_path.glob("o/checkpoints/*")))
    assert status == 130, text
    assert ("the last checkpoint is kept in 'o'" in text) == kept and ("no checkpoint" in text) != kept


@pytest.mark.slow
def test_hashes_are_shown_on_request(faces: Path, tmp_path: Path) -> None:
    words = ["audit", "faces", "--no-probe"]
    status, lines = in_terminal(tmp_path, words)
    assert status == 0 and "hash" not in "".join(lines[:8]) and "--signatures shows" in "".join(lines)
    assert "; hash test" in " ".join(in_terminal(tmp_path, [*words, "--signatures"])[1])


@pytest.mark.slow
def test_a_run_ends_with_the_command_that_compares(faces: Path, tmp_path: Path) -> None:
    words = ["run", "-d", "constant", "-d", "random", "-s", "faces", "--out", "runs/two"]
    status, lines = in_terminal(tmp_path, words)
    assert status == 0 and all(len(line) <= 80 for line in lines), lines
    assert [line for line in lines if line][-1] == "next:  m2f2bench compare runs/two"
