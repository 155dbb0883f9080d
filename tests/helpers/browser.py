"""Chromium without a window: starting it, and what is done on any page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DESK, PHONE = (1280, 900), (360, 740)


@contextmanager
def started() -> Iterator[Any]:
    """A running browser; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver_program = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (program and driver_program):
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_program))
    try:
        yield driver
    finally:
        driver.quit()


def press(driver: Any, selector: str, seconds: float = 60.0, step: float = 0.1) -> None:
    """Click the first of these elements, as soon as it is there and can be clicked: a page may still be drawing it."""
    from selenium.common import exceptions
    from selenium.webdriver.support.ui import WebDriverWait

    early = ("NoSuchElement", "StaleElementReference", "ElementNotInteractable", "ElementClickIntercepted")
    wait = WebDriverWait(driver, seconds, step, [getattr(exceptions, f"{name}Exception") for name in early])
    wait.until(lambda one: one.find_element("css selector", selector).click() or True)


class Page:
    """A page in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def show(self, path: Path, size: tuple[int, int], scheme: str) -> None:
        """Open a file as on a desk or a phone, light or dark, with clean logs."""
        touch = size == PHONE
        self.cdp("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=touch)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(path.as_uri())

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def colour(self, selector: str, what: str) -> tuple[float, ...]:
        """A computed colour as red, green, blue in [0, 255]; of a background the nearest that is not see-through."""
        code = """let e = document.querySelector(arguments[0]), c;
            do { c = getComputedStyle(e)[arguments[1]]; e = e.parentElement; } while (/, 0\\)$/.test(c) && e);
            const g = document.createElement('canvas').getContext('2d'); g.fillStyle = c; g.fillRect(0, 0, 1, 1);
            return [...g.getImageData(0, 0, 1, 1).data]"""
        return tuple(self.js(code, selector, what)[:3])


def luminance(colour: tuple[float, ...]) -> float:
    """WCAG 2.2's relative luminance of an sRGB colour in [0, 255]."""
    parts = [c / 255.0 for c in colour]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2's contrast ratio of two sRGB colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
