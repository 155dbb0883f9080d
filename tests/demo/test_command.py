"""The command `demo`: started, opened in a browser, and ended by Ctrl-C; what cannot be served is one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from demo_visitor import Visitor
from paths import ROOT

from m2f2bench.cli.demo import end_as_by_ctrl_c
from m2f2bench.core.errors import DataError
from m2f2bench.demo.serve import served

DETECTOR = f"{ROOT / 'tests' / 'helpers' / 'toy_demo.py'}:Brightness"


@contextmanager
def started_demo(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, whose temporary files go to `folder`; gives it and its address."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner may have it ignored\n"
    code += "import sys; from m2f2bench.cli.main import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "demo", "--detector", DETECTOR]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=os.environ | {"TMPDIR": str(folder)}, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.match(r"open (http://127\.0\.0\.1:\d+/) in a browser; Ctrl-C ends it", said)
            assert found, said + (process.communicate(timeout=60)[1] if not said else "")
            yield process, found[1]
        finally:
            process.kill()


def uploads(folder: Path) -> list[Path]:
    return [path for path in folder.glob("m2f2bench-demo-*/*/*") if "examples" not in path.parts]


@pytest.mark.slow
def test_it_is_opened_in_a_browser_and_ended_by_ctrl_c(visitor: Visitor, photo: Path, tmp_path: Path) -> None:
    with started_demo(tmp_path) as (process, address):
        one = Visitor(visitor.page, address)
        one.come()
        one.give(photo)
        said = one.until("#m2-said .m2-face:nth-of-type(2)", "Face 2").get_attribute("textContent")
        assert "Brightness: real" in said or "Brightness: fake" in said
        assert len(uploads(tmp_path)) >= 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", 130)
    assert err == "m2f2bench: interrupted: the demo has ended, and what was uploaded is deleted\n"
    assert not list(tmp_path.glob("m2f2bench-demo-*"))


def test_a_service_manager_ends_it_as_ctrl_c_does() -> None:
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        end_as_by_ctrl_c()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(address: str) -> None:
    from toy_demo import Brightness

    port = int(address.rstrip("/").rsplit(":", 1)[1])
    line = rf"^the demo cannot be served at 127.0.0.1, port {port}: "
    with pytest.raises(DataError, match=line) as failure, served([Brightness()], port=port):
        pass
    assert "\n" not in str(failure.value)
