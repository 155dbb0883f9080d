"""The leaderboard's page in a real browser, without a window, and what a person does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser import DESK, Page

from m2f2bench.leaderboards.board import Board
from m2f2bench.leaderboards.html.page import to_html

ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"
FIRST, SECOND = "#board tr.row:nth-of-type(1) td[data-d]", "#board tr.row:nth-of-type(2) td[data-d]"
ENTER, ESCAPE, RIGHT, DOWN = "\ue007", "\ue00c", "\ue014", "\ue015"
"""Keys, as the WebDriver standard writes them."""


class Browser(Page):
    """A page in a browser, and what a person does with it."""

    def __init__(self, driver: Any, folder: Path) -> None:
        super().__init__(driver)
        self.folder = folder

    def open(self, board: Board, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
        """Open a board's page from its file, with clean logs and nothing kept from before."""
        path = self.folder / "page.html"
        path.write_text(to_html(board), encoding="utf-8")
        self.show(path, size, scheme)
        self.js("try { localStorage.clear() } catch {}")

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
