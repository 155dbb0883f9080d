"""A visitor of the demo: a browser's window at its page, and what is done there."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser import Page, press

SHOTS = os.environ.get("M2F2BENCH_SHOTS", "")
"""A folder for screenshots, to be looked at."""
DESK, PHONE = (1280, 1000), (390, 844)
WAIT = 60


@dataclass
class Visitor:
    """A browser at the demo's page."""

    page: Page
    address: str
    window: str = ""

    def come(self, size: tuple[int, int] = DESK) -> None:
        self.page.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        self.page.driver.get("about:blank")
        self.page.driver.get_log("performance")
        self.page.driver.get(self.address)
        self.until("#m2-photo input[type=file]")

    def until(self, selector: str, text: str = "", seconds: float = WAIT) -> Any:
        """Wait for an element, with a text if one is given, and return it."""
        from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        def found(driver: Any) -> Any:
            some = driver.find_elements("css selector", selector)
            return next((one for one in some if text in one.get_attribute("textContent")), None)

        wait = WebDriverWait(self.page.driver, seconds, 0.1, [StaleElementReferenceException])
        try:
            return wait.until(found)
        except TimeoutException:
            there = [
                one.get_attribute("textContent") for one in self.page.driver.find_elements("css selector", selector)
            ]
            raise AssertionError(f"{selector} has {there}, not '{text}'") from None

    def press(self, selector: str) -> None:
        """Click an element as soon as that can be done."""
        press(self.page.driver, selector, WAIT)

    def give(self, path: Path, where: str = "#m2-photo") -> None:
        """Give a file; another one is taken away before."""
        for button in self.page.driver.find_elements("css selector", f"{where} button[aria-label='Clear']"):
            button.click()
        self.until(f"{where} input[type=file]").send_keys(str(path))

    def text(self, selector: str) -> str:
        return str(self.page.one(selector).get_attribute("textContent"))

    def shot(self, name: str) -> None:
        if SHOTS:
            size = self.page.cdp("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            data = self.page.cdp("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
            Path(SHOTS, f"{name}.png").write_bytes(base64.b64decode(data))

    def asked_elsewhere(self) -> list[str]:
        """Addresses of other machines that the page asked for."""
        urls = re.findall(
            r'"url":"(https?://[^"]+)"', str([one["message"] for one in self.page.driver.get_log("performance")])
        )
        return sorted({url for url in urls if not url.startswith(self.address)})

    @contextmanager
    def another(self) -> Iterator[Visitor]:
        """A second visitor in a window of the same browser, with a session of its own; use `turn` before each step."""
        first = self.page.driver.current_window_handle
        self.page.driver.switch_to.new_window("window")
        other = Visitor(self.page, self.address, self.page.driver.current_window_handle)
        self.window = first
        try:
            yield other
        finally:
            other.turn()
            self.page.driver.close()
            self.turn()

    def turn(self) -> None:
        """Turn to this visitor's window."""
        self.page.driver.switch_to.window(self.window)
