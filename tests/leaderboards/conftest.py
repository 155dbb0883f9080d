"""A browser for the tests of the leaderboard's page; they are skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from board_browser import Browser
from browser import started
from toy_board import toy_board


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started() as driver:
        yield Browser(driver, tmp_path_factory.mktemp("page"))


@pytest.fixture
def opened(browser: Browser) -> Browser:
    browser.open(toy_board())
    return browser
