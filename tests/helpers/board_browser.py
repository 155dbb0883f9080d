"""The leaderboard's page in a real browser, without a window, and what a person does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from m2f2bench.leaderboards.board import Board
from m2f2bench.leaderboards.html.page import to_html

ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"
FIRST, SECOND = "#board tr.row:nth-of-type(1) td[data-d]", "#board tr.row:nth-of-type(2) td[data-d]"
ENTER, ESCAPE, RIGHT, DOWN = "\ue007", "\ue00c", "\ue014", "\ue015"
"""Keys, as the WebDriver standard writes them."""
DESK, PHONE = (1280, 900), (360, 740)


class Browser:
    """A page in a browser, and what a person does with it."""

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def cdp(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def open(self, board: Board, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Open a board's page from its file, with clean logs and nothing kept from before."""
        path = self.folder / "page.html"
        path.write_text(to_html(board), encoding="utf-8")
        touch = size == PHONE
        self.cdp("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=touch)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=touch)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(path.as_uri())
        self.js("try { localStorage.clear() } catch {}")

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def names(self) -> list[str]:
        """Detectors of the main table's visible rows, from above."""
        return list(self.js("return [...document.querySelectorAll('#board tr.row')].filter(r => r.offsetHeight)"
                            ".map(r => r.querySelector('.name').textContent)"))  # fmt: skip

    def heads(self) -> list[str]:
        return list(self.js("return [...document.querySelectorAll('#board thead th[data-full]')]"
                            ".filter(h => h.offsetWidth).map(h => h.dataset.full)"))  # fmt: skip

    def head(self, full: str) -> str:
        return f'#board th[data-full="{full}"]'

    def press(self, key: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(key).perform()

    def hover(self, selector: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).move_to_element(self.one(selector)).perform()

    def choose(self, id: str, value: str) -> None:
        self.js("const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                "e.dispatchEvent(new Event('input', {bubbles: true}))", id, value)  # fmt: skip

    def box(self, selector: str) -> dict[str, float]:
        return dict(self.js("return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()", selector))

    def colour(self, selector: str, what: str) -> tuple[float, ...]:
        """A computed colour as red, green, blue in [0, 255]; of a background the nearest that is not see-through."""
        code = """let e = document.querySelector(arguments[0]), c;
            do { c = getComputedStyle(e)[arguments[1]]; e = e.parentElement; } while (/, 0\\)$/.test(c) && e);
            const g = document.createElement('canvas').getContext('2d'); g.fillStyle = c; g.fillRect(0, 0, 1, 1);
            return [...g.getImageData(0, 0, 1, 1).data]"""
        return tuple(self.js(code, selector, what)[:3])


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """WCAG 2.2's contrast ratio of two sRGB colours, from 1 to 21."""

    def luminance(colour: tuple[float, ...]) -> float:
        parts = [c / 255.0 for c in colour]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
