"""The leaderboard's page in a real browser: sorting, filters, ranks, long tables."""

from __future__ import annotations

from dataclasses import replace

from board_browser import ALPHA, BETA, ENTER, FIRST, GAMMA, Browser
from toy_board import IMAGE_NAME, SCRIPT_NAME, big_board, toy_board, toy_table


def test_sorting_by_click(opened: Browser) -> None:
    assert opened.names() == [ALPHA, BETA, SCRIPT_NAME, IMAGE_NAME, GAMMA]
    auc = opened.head("crops · frame · AUC")
    opened.one(f"{auc} button").click()
    assert opened.names() == [GAMMA, ALPHA, BETA, SCRIPT_NAME, IMAGE_NAME], "the highest first"
    assert opened.one(auc).get_attribute("aria-sort") == "descending"
    opened.one(f"{auc} button").click()
    assert opened.names() == [IMAGE_NAME, SCRIPT_NAME, BETA, ALPHA, GAMMA]
    eer = opened.head("crops · frame · EER")
    opened.one(f"{eer} button").click()
    assert opened.names() == [BETA, ALPHA, SCRIPT_NAME, IMAGE_NAME, GAMMA], "of errors the lowest first"
    assert opened.one(auc).get_attribute("aria-sort") is None
    opened.one(f"{eer} button").click()
    assert opened.names() == [IMAGE_NAME, SCRIPT_NAME, ALPHA, BETA, GAMMA], "what is missing is last both ways"
    opened.one(f"{opened.head('faces@val · video · MCC · oracle threshold')} button").click()
    assert opened.names() == [BETA, ALPHA, IMAGE_NAME, SCRIPT_NAME, GAMMA], "below zero too"


def test_sorting_by_keyboard_and_back_to_the_ranks(opened: Browser) -> None:
    assert opened.one("#board .sep").is_displayed()
    opened.js("document.querySelector('#board .who button').focus()")
    opened.press(ENTER)
    assert opened.names() == [IMAGE_NAME, SCRIPT_NAME, ALPHA, BETA, GAMMA]
    assert opened.one("#board .who").get_attribute("aria-sort") == "ascending"
    assert not opened.one("#board .sep").is_displayed()
    opened.press(" ")
    assert opened.names() == [GAMMA, BETA, ALPHA, SCRIPT_NAME, IMAGE_NAME]
    opened.one("#board th.rank button").click()
    assert opened.names() == [ALPHA, BETA, SCRIPT_NAME, IMAGE_NAME, GAMMA]
    assert opened.box("#board .sep")["bottom"] <= opened.box("#board tr.row:last-child")["top"] + 1


def test_filters(opened: Browser) -> None:
    opened.one("#f-name").send_keys("ALPHA")
    assert opened.names() == [ALPHA]
    assert "1 of 5 detectors, 4 of 4 columns" in opened.one("#status").text
    opened.one("#filters [type=reset]").click()
    opened.choose("f-trained", "=more")
    assert opened.names() == [BETA]
    opened.choose("f-trained", "-")
    assert opened.names() == [SCRIPT_NAME, IMAGE_NAME, GAMMA]
    opened.choose("f-trained", "")
    opened.choose("f-dataset", "=faces")
    assert opened.heads() == ["faces@val · video · MCC · oracle threshold", "faces@val · frame · TPR at 1% FPR"]
    assert not opened.one(FIRST).is_displayed() and not opened.one("#heat td[data-d]").is_displayed()


def test_in_domain_and_cross_dataset(opened: Browser) -> None:
    opened.choose("f-domain", "in")
    assert opened.names() == [ALPHA, BETA]
    visible = "return [...document.querySelectorAll('#board .v')].filter(v => v.checkVisibility({visibilityProperty:"
    visible += "true})).map(v => v.textContent)"
    assert opened.js(visible) == ["0.900", "0.200", "0.650", "0.300"]
    opened.one(f"{opened.head('crops · frame · AUC')} button").click()
    assert opened.names() == [ALPHA, BETA], "what is filtered out counts as missing"
    opened.choose("f-domain", "cross")
    assert opened.names() == [GAMMA, BETA, SCRIPT_NAME, IMAGE_NAME, ALPHA]


def test_intervals_can_be_left_out(opened: Browser) -> None:
    assert opened.one("#board .ci").is_displayed()
    opened.one("#f-ci").click()
    assert not opened.one("#board .ci").is_displayed()


def test_the_heat_table_is_sorted_and_filtered(opened: Browser) -> None:
    names = "return [...document.querySelectorAll('#heat tr.row')].filter(r => r.offsetHeight)"
    names += ".map(r => r.querySelector('.name').textContent)"
    assert opened.js(names) == [ALPHA, BETA, SCRIPT_NAME, IMAGE_NAME, GAMMA]
    opened.js("document.querySelectorAll('#heat .sort')[3].click()")
    opened.js("document.querySelectorAll('#heat .sort')[3].click()")
    assert opened.js(names) == [IMAGE_NAME, SCRIPT_NAME, BETA, ALPHA, GAMMA], "the lowest first, a hole last"
    opened.one("#f-name").send_keys("beta")
    assert opened.js(names) == [BETA]


def test_controls_stay_below_however_the_table_is_sorted(browser: Browser) -> None:
    table = toy_table()
    rows = (*table.rows[1:2], table.rows[4], *(replace(row, rank=None, knows="the region") for row in table.rows[2:4]),
            replace(table.rows[0], rank=None, knows="the label"))  # fmt: skip
    browser.open(replace(toy_board(), table=replace(table, rows=rows)))
    seps = "return [...document.querySelectorAll('#board tr.sep')].filter(r => r.offsetHeight).map(r => r.dataset.of)"
    assert browser.names() == [BETA, GAMMA, SCRIPT_NAME, IMAGE_NAME, ALPHA]
    assert browser.js(seps) == ["unranked", "control"]
    browser.one(f"{browser.head('crops · frame · AUC')} button").click()
    assert browser.names() == [GAMMA, BETA, ALPHA, SCRIPT_NAME, IMAGE_NAME], "each part is sorted"
    assert browser.js(seps) == ["control"]
    assert browser.js("return document.querySelector('tr.sep[data-of=control]').nextElementSibling.dataset.by") == "d5"
    browser.one("#f-name").send_keys(BETA)
    assert browser.names() == [BETA] and browser.js(seps) == []


def test_long_tables_are_unrolled_on_demand(browser: Browser) -> None:
    browser.open(big_board(200, 20))
    assert len(browser.names()) == 43
    browser.one(f"{browser.head('set0 · frame · AUC')} button").click()
    values = browser.js("return [...document.querySelectorAll('#board tr.row')].filter(r => r.offsetHeight)"
                        ".map(r => Number(r.cells[3].dataset.v))")  # fmt: skip
    everything = browser.js("return [...document.querySelectorAll('#board tr.row')].map(r => r.cells[3].dataset.v)"
                            ".filter(v => v !== undefined).map(Number)")  # fmt: skip
    assert values == sorted(everything, reverse=True)[:43], "the best of all, not of those that were shown"
    browser.one(".more").click()
    assert len(browser.names()) == 200 and not browser.one(".more").is_displayed()
    shown = browser.js("return [...document.querySelectorAll('#board tr.row')].map(r => r.cells[3].dataset.v)")
    kept = [float(value) for value in shown if value is not None]
    assert kept == sorted(everything, reverse=True)
    assert None not in shown[: len(kept)], "what is missing comes last"
