"""The leaderboard's page in a real browser: colours, charts, phones, and safety."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from board_browser import FIRST, Browser
from browser import PHONE, contrast
from toy_board import IMAGE_NAME, SCRIPT_NAME, big_board, toy_board

from m2f2bench.leaderboards.board import Board
from m2f2bench.leaderboards.html.page import to_html


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_heat_tables_numbers_have_contrast_on_every_colour(browser: Browser, scheme: str) -> None:
    browser.open(toy_board(), scheme=scheme)
    grounds = []
    for name in [f"{side}{step}" for side in ("up", "down") for step in range(10)]:
        browser.js("document.querySelector('#heat td[data-d]').className = arguments[0]", name)
        ground = browser.colour("#heat td[data-d]", "backgroundColor")
        assert contrast(browser.colour("#heat td[data-d] .v", "color"), ground) >= 4.5, name
        grounds.append(ground)
    assert len(set(grounds)) == 20, "every step has a colour of its own"


def test_figures_of_a_column_are_below_each_other(opened: Browser) -> None:
    right = "const r = document.createRange(); return [...document.querySelectorAll('#board tr.row')].map(row => {"
    right += "const v = row.querySelectorAll('td[data-d]')[0].querySelector('.v'); r.selectNodeContents(v);"
    right += "return r.getBoundingClientRect().right})"
    ends = opened.js(right)
    assert len(ends) == 5 and max(ends) - min(ends) < 0.5, "with and without a mark after the number"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(browser: Browser, scheme: str) -> None:
    browser.open(toy_board(), scheme=scheme)
    ground = browser.colour("body", "backgroundColor")
    assert (max(ground) < 60) == (scheme == "dark")
    for text in ("h1", "#board .v", "#board .ci", ".sub", "nav a", "#board thead small", "td.best .v", ".sep span",
                 "td.trained", "td.missing", ".warn", "dd", "dt small", "summary", "#f-name"):  # fmt: skip
        assert contrast(browser.colour(text, "color"), browser.colour(text, "backgroundColor")) >= 4.5, text
    for i in range(7):
        colour = browser.js("return document.querySelector('.legend .mark').setAttribute('class', arguments[0])",
                            f"mark c{i}") or browser.colour(".legend .mark", "fill")  # fmt: skip
        assert contrast(colour, ground) >= 3.0, f"colour {i} of the charts"


def test_the_button_goes_against_the_system(browser: Browser) -> None:
    browser.open(toy_board(), scheme="dark")
    assert browser.one("#theme").get_attribute("aria-pressed") == "true"
    browser.one("#theme").click()
    assert min(browser.colour("body", "backgroundColor")) > 200
    assert browser.one("#theme").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("board", [toy_board, lambda: big_board(30, 12)])
def test_a_phone_scrolls_sideways_in_the_table_alone(browser: Browser, board: Callable[[], Board]) -> None:
    made = board()
    long = replace(made.table.rows[0], detector="x" * 120, trained_on=("y" * 90,))
    browser.open(replace(made, table=replace(made.table, rows=(long, *made.table.rows[1:]))), PHONE)
    assert browser.js("return [document.documentElement.scrollWidth, innerWidth]") == [PHONE[0], PHONE[0]]
    assert browser.js("const s = document.querySelector('.scroll'); return s.scrollWidth > s.clientWidth")
    before = browser.box("#board tr.row th")
    browser.js("document.querySelector('.scroll').scrollLeft = 300")
    after = browser.box("#board tr.row th")
    scroller = browser.box(".scroll")
    assert after["left"] == pytest.approx(scroller["left"] + 1, abs=1) and after["width"] == before["width"] < 200


def test_without_scripts_everything_is_there(browser: Browser) -> None:
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(big_board(60, 20))
        tree = json.dumps(browser.cdp("DOMSnapshot.captureSnapshot", computedStyles=[]))
        names = {f"detector-{i:03d}" for i in range(60)}
        root = browser.cdp("DOM.getDocument", depth=0)["root"]["nodeId"]
        rows = browser.cdp("DOM.querySelectorAll", nodeId=root, selector="#board tr.row")["nodeIds"]
        heights = [browser.cdp("DOM.getBoxModel", nodeId=row)["model"]["height"] for row in rows]
        assert len(heights) == 60 and min(heights) > 10
        assert all(name in tree for name in names)
        (form,) = browser.cdp("DOM.querySelectorAll", nodeId=root, selector="#filters")["nodeIds"]
        assert "hidden" in browser.cdp("DOM.getAttributes", nodeId=form)["attributes"]
    finally:
        browser.cdp("Emulation.setScriptExecutionDisabled", value=False)


def test_detectors_are_switched_on_and_off_in_all_charts(opened: Browser) -> None:
    def shown() -> list[int]:
        selectors = ("svg.roc g.curve", ".aucs li")
        return [sum(e.is_displayed() for e in opened.driver.find_elements("css selector", s)) for s in selectors]

    both = shown()
    assert both == [2, 2]
    opened.one('.legend input[data-k="0"]').click()
    assert shown() == [1, 1], "alpha's curve and its AUC"
    opened.one("#none").click()
    assert shown() == [0, 0]
    opened.one("#all").click()
    assert shown() == both


def test_the_logarithmic_axis(opened: Browser) -> None:
    points = "return document.querySelector('svg.roc .curve polyline').getAttribute('points')"
    plain = opened.js(points)
    assert plain == "44,310 74,40 344,10"
    opened.one("#log").click()
    bent = [tuple(map(float, point.split(","))) for point in opened.js(points).split()]
    # Two decades over 300 units: FPR 0.1 lies in the middle. Half of the way up to it is FPR 0.05, at log10(5) / 2.
    assert bent[0] == (44.0, 310.0) and bent[-1] == (344.0, 10.0) and (194.0, 40.0) in bent
    x, y = min(bent, key=lambda point: abs(point[1] - 175.0))
    assert y == pytest.approx(310.0 - 270.0 * 10 ** ((x - 44.0) / 150.0 - 2.0) / 0.1, abs=0.5)
    assert all(a[0] <= b[0] for a, b in pairwise(bent))
    assert opened.one("svg.roc g.log").is_displayed() and not opened.one("svg.roc g.lin").is_displayed()
    opened.one("#log").click()
    assert opened.js(points) == plain


def test_no_request_no_error_and_no_alert(browser: Browser) -> None:
    browser.open(toy_board())
    browser.hover(FIRST)
    browser.one("#log").click()
    browser.choose("f-name", "<")
    events = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert urls and {url for url in urls if not url.startswith("data:")} == {(browser.folder / "page.html").as_uri()}
    assert not [e for e in events if e["method"] in ("Page.javascriptDialogOpening", "Network.webSocketCreated")]
    assert browser.driver.get_log("browser") == []
    assert browser.names() == [SCRIPT_NAME, IMAGE_NAME]
    assert browser.js("return [document.images.length, document.scripts.length]") == [0, 1]


def test_the_policy_stops_what_gets_in(browser: Browser) -> None:
    """Were something not escaped after all, it could neither run nor load."""
    path = browser.folder / "spoilt.html"
    spoilt = "<script>window.ran = 1</script><img src='https://example.org/x.png' onerror='window.ran = 2'>"
    path.write_text(to_html(toy_board()).replace("</main>", f"{spoilt}</main>"), encoding="utf-8")
    browser.driver.get(path.as_uri())
    assert browser.js("return window.ran ?? null") is None
    blocked = [entry["message"] for entry in browser.driver.get_log("browser")]
    assert sum("Content Security Policy" in message for message in blocked) >= 2
