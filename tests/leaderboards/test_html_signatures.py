"""The leaderboard's page in a real browser: a number's box (signature, notes, interval) by mouse, key and touch."""

from __future__ import annotations

from board_browser import ALPHA, BETA, DOWN, ESCAPE, FIRST, RIGHT, SECOND, Browser
from browser import DESK, PHONE
from toy_board import by, measure, toy_board


def test_hovering_shows_the_signature_within_the_window(opened: Browser) -> None:
    for selector in (FIRST, f"{SECOND} ~ td:last-child", "#board tr.row:last-child td[data-d]"):
        opened.hover(selector)
        box, (width, height) = opened.box("#tip"), DESK
        assert box["left"] >= 0 and box["top"] >= 0 and box["right"] <= width and box["bottom"] <= height
    opened.hover(FIRST)
    assert opened.one("#tip code").text == f"{measure('crops')}|{by(ALPHA)}"
    terms = [e.text for e in opened.driver.find_elements("css selector", "#tip dl dt b")]
    assert terms == ["data", "split", "hash", "n", "level", "thr", "ci", "v", "det", "weights", "prep", "prec", "seed"]
    assert "0.900 [0.850, 0.950], 72+72 units (real+fake), in-domain" in opened.one("#tip").text
    opened.hover("#tip code")
    assert opened.one("#tip").is_displayed(), "the pointer may go into it"
    opened.one("#tip code").click()
    assert opened.js("return String(getSelection())") == f"{measure('crops')}|{by(ALPHA)}"
    opened.press(ESCAPE)
    assert not opened.one("#tip").is_displayed()


def test_notes_coverage_and_reasons_are_told(opened: Browser) -> None:
    opened.hover(SECOND)
    assert "coverage 0.999" in opened.one("#tip").text and "70+71" in opened.one("#tip").text
    opened.press(ESCAPE)
    opened.hover("#board tr.row td[data-note]")
    assert "are too few for this rate" in opened.one("#tip").text
    opened.press(ESCAPE)
    opened.hover("#board td.null")
    assert "no real unit has a score" in opened.one("#tip").text
    opened.press(ESCAPE)
    opened.hover("#board td.missing")
    assert "No result" in opened.one("#tip").text


def test_keyboard_leads_from_number_to_number(opened: Browser) -> None:
    opened.js("document.querySelector('#board td[tabindex]').focus()")
    assert by(ALPHA) in opened.one("#tip code").text
    opened.press(DOWN)
    assert by(BETA) in opened.one("#tip code").text
    opened.press(RIGHT)
    assert "EER" in opened.one("#tip").text and by(BETA) in opened.one("#tip code").text
    assert opened.js("return document.activeElement.getAttribute('aria-describedby')") == "tip"
    assert opened.js("return document.querySelectorAll('#board td[tabindex]').length") == 1
    for _ in range(3):
        opened.press(DOWN)
    assert "gamma" in opened.one("#tip").text, "over the heading of what is not ranked"


def test_a_tap_shows_the_signature_and_stays(browser: Browser) -> None:
    browser.open(toy_board(), PHONE)
    browser.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center', inline: 'center'})", FIRST)
    box = browser.box(FIRST)
    point = {"x": (box["left"] + box["right"]) / 2, "y": (box["top"] + box["bottom"]) / 2}
    browser.cdp("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
    browser.cdp("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser.driver, 5).until(lambda _: browser.one("#tip").is_displayed())
    assert browser.one("#tip code").text == f"{measure('crops')}|{by(ALPHA)}"
    tip = browser.box("#tip")
    assert tip["left"] >= 0 and tip["right"] <= PHONE[0] and tip["top"] >= 0 and tip["bottom"] <= PHONE[1]
    assert tip["bottom"] <= box["top"] or tip["top"] >= box["bottom"], "the number stays in sight"


def test_intervals_of_the_heat_table_are_in_the_box_and_for_screen_readers(browser: Browser) -> None:
    browser.open(toy_board())
    cell = "#heat tr.row td[data-d]"
    assert browser.box(f"{cell} .ci")["width"] <= 1, "not to be seen, but there to be read aloud"
    assert browser.one(f"{cell} .ci").get_attribute("textContent") == "[0.850, 0.950]"
    browser.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", cell)
    browser.hover(cell)
    assert "0.900 [0.850, 0.950]" in browser.one("#tip").text
    browser.cdp("Emulation.setEmulatedMedia", media="print", features=[])
    try:
        assert browser.box(f"{cell} .ci")["width"] > 20, "paper has no box"
    finally:
        browser.cdp("Emulation.setEmulatedMedia", media="", features=[])
