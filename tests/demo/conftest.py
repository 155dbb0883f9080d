"""One server and one browser for all tests of the demo: both take seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, started
from demo_scenes import two_faces
from demo_visitor import Visitor
from PIL import Image as Pillow
from toy_demo import Brightness, Speaker


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    pytest.importorskip("gradio", reason="gradio is not installed")
    from m2f2bench.demo.serve import served

    with served([Speaker(), Brightness()]) as at:
        yield at


@pytest.fixture(scope="session")
def in_browser(address: str) -> Iterator[Visitor]:
    with started() as driver:
        yield Visitor(Page(driver), address)


@pytest.fixture(scope="module")
def visitor(in_browser: Visitor) -> Iterator[Visitor]:
    yield in_browser
    in_browser.page.driver.get("about:blank")  # an open page of the demo keeps 7% of a core busy


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "two.png"
    Pillow.fromarray(two_faces()).save(path)
    return path
