"""Seconds from opening the demo's page in a browser to the first verdict, with a small detector.

Asked: at most 5 s on two idle cores. An example is clicked as soon as it is there. `load` is the machine's load average
(one minute) before a round: with other work on the cores the seconds say little, and the processor's seconds of a round
say more: `server_cpu_s` of the demo, `browser_cpu_s` of Chromium with all its processes. With `--detector FOLDER` it is
one that is trained already.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from common import report, sized

from m2f2bench.demo.serve import served
from m2f2bench.runs.train import train

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

ROUNDS = sized(5, 1)
DETECTOR = sized("small-cnn", "frequency")
"""Trained on the drawn faces first, which is not counted."""
MOST = 5.0
EXAMPLE, VERDICT = "#m2-examples button img", "#m2-said .m2-face"


def browser_seconds(driver: object) -> float:
    """Return the processor's seconds so far of the browser's processes, those that have ended included."""
    import psutil

    driver_process = psutil.Process(driver.service.process.pid)  # type: ignore[attr-defined]
    total = 0.0
    for one in [driver_process, *driver_process.children(recursive=True)]:
        try:
            total += sum(one.cpu_times()[:4])  # its own, and its ended children's
        except psutil.NoSuchProcess:
            continue
    return total


def first_verdict(driver: object, address: str) -> tuple[float, float]:
    """Return the seconds until an example can be clicked, and until the first verdict."""
    from browser import press
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(driver, 120, 0.02)
    driver.get("about:blank")  # type: ignore[attr-defined]
    begin = time.perf_counter()
    driver.get(address)  # type: ignore[attr-defined]
    press(driver, EXAMPLE, 120, 0.02)
    ready = time.perf_counter() - begin
    wait.until(lambda one: one.find_elements("css selector", VERDICT))
    return ready, time.perf_counter() - begin


def main() -> None:
    from browser import started

    parser = argparse.ArgumentParser()
    parser.add_argument("--detector", type=Path)
    given = parser.parse_known_args()[0].detector
    with tempfile.TemporaryDirectory() as folder:
        trained = given or train(DETECTOR, "synthetic", out=Path(folder, DETECTOR)).parent
        begin = time.perf_counter()
        with served([trained]) as address, started() as driver:
            up = time.perf_counter() - begin
            loads, times, server, browser = [], [], [], []
            for _ in range(ROUNDS):
                loads.append(os.getloadavg()[0])
                here, there = time.process_time(), browser_seconds(driver)
                times.append(first_verdict(driver, address))
                server.append(time.process_time() - here)
                browser.append(browser_seconds(driver) - there)
    report(
        [
            {
                "detector": given.name if given else DETECTOR,
                "rounds": ROUNDS,
                "load": statistics.mean(loads),
                "up_s": up,
                "page_s": statistics.median(one for one, _ in times),
                "first_verdict_s": times[0][1],
                "verdict_s": statistics.median(one for _, one in times),
                "server_cpu_s": statistics.median(server),
                "browser_cpu_s": statistics.median(browser),
                "asked": f"<= {MOST}",
            }
        ]
    )


if __name__ == "__main__":
    main()
