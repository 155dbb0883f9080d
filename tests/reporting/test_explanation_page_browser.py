"""The report's page in a real browser, without a window: sorting, filters, phones, colours, hostile text, safety."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import DESK, PHONE, Page, contrast, started
from toy_report import RTL, SCRIPT, toy_answers, toy_page


class Reader(Page):
    """A report in a browser, and what a person does with it."""

    def __init__(self, driver: Any, folder: Path) -> None:
        super().__init__(driver)
        self.path = folder / "report.html"

    def open(self, size: tuple[int, int] = DESK, scheme: str = "light", page: str = "", all: bool = True) -> None:
        """Open a page; `all`: with all its answers, of which only the first few are shown at first."""
        self.path.write_text(page or toy_page(), encoding="utf-8")
        self.show(self.path, size, scheme)
        self.js("localStorage.clear(); delete document.documentElement.dataset.theme")
        if all:
            self.js("document.getElementById('more').click()")

    def choose(self, id: str, value: str) -> None:
        self.js("const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                "if (e.value !== arguments[1]) throw Error('no such choice');"
                "e.dispatchEvent(new Event('input', {bubbles: true}))", id, value)  # fmt: skip

    def reset(self) -> None:
        """Reset the form and wait until the page has drawn itself again, which it does right after the event."""
        self.one("#filters [type=reset]").click()
        self.driver.execute_async_script("setTimeout(arguments[0], 50)")

    def cards(self, key: str) -> list[str]:
        """A `data-` value of the cards that are to be seen, from above."""
        code = "return [...document.querySelectorAll('.card')].filter(c => c.offsetHeight).map(c => c.dataset[KEY])"
        return list(self.js(code.replace("KEY", "arguments[0]"), key))

    def values(self, metric: str) -> list[float | None]:
        """A metric of the cards that are to be seen; None where there is none, or no answer."""
        shown = zip(self.cards("values"), self.cards("missing"), strict=True)
        return [float(v) if (v := json.loads(held)[metric]) and gone == "no" else None for held, gone in shown]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with started() as driver:
        yield Reader(driver, tmp_path_factory.mktemp("report"))


def test_the_page_begins_with_a_few_answers(reader: Reader) -> None:
    reader.open(all=False)
    assert len(reader.cards("order")) == 6 and "6 of" in reader.one("#status").text
    assert reader.one(".card img").location["y"] < DESK[1], "the first picture is on the first screen"
    tops = [
        reader.one(place).location["y"] for place in ("#answers", "#cards", "svg[role=img]", "#results table, .scroll")
    ]
    assert tops == sorted(tops), "pictures and answers, then the chart, then tables"
    worst = reader.values("rouge_l")
    reader.one("#more").click()
    assert len(reader.cards("order")) > 24 and not reader.one("#more").is_displayed()
    assert reader.values("rouge_l")[:6] == worst


def test_sorting(reader: Reader) -> None:
    reader.open()

    def ordered(metric: str, falling: bool) -> None:
        values = reader.values(metric)
        known = [v for v in values if v is not None]
        assert len(set(known)) > 10 and known == sorted(known, reverse=falling)
        assert values[: len(known)] == known, "what has no value comes last"

    ordered("rouge_l", False)
    reader.choose("f-order", "down")
    ordered("rouge_l", True)
    reader.choose("f-metric", "cider")
    ordered("cider", True)
    assert None in reader.values("cider")
    reader.choose("f-order", "up")
    ordered("cider", False)
    reader.choose("f-order", "region")
    regions = reader.cards("region")
    assert regions == sorted(regions) and len(set(regions)) == 4
    reader.choose("f-order", "plan")
    places = [int(place) for place in reader.cards("order")]
    assert places == sorted(places)


def test_filters(reader: Reader) -> None:
    reader.open()
    everything = len(reader.cards("order"))
    assert f"{everything} of {everything} shown" in reader.one("#status").text
    reader.choose("f-region", "=nose")
    assert set(reader.cards("region")) == {"nose"}
    reader.choose("f-label", "fake")
    assert set(reader.cards("label")) == {"fake"}
    reader.reset()
    reader.choose("f-show", "wrong")
    assert set(reader.cards("verdict")) == {"wrong", "none"}
    reader.choose("f-show", "right")
    assert set(reader.cards("verdict")) == {"right"}
    reader.choose("f-show", "missing")
    answers, _, _ = toy_answers()
    missing = [str(i) for i, status in enumerate(answers.status) if status != "ok"]
    assert sorted(reader.cards("order")) == sorted(missing)
    assert {card.text for card in reader.driver.find_elements("css selector", ".gone") if card.is_displayed()} == {
        "No answer.",
        "The explainer failed on this question.",
    }
    reader.reset()
    reader.one("#f-text").send_keys("ANSWER 5 ABOUT THE EYES")
    assert reader.cards("order") == ["22"]
    reader.one("#f-text").send_keys("zzz")
    assert reader.cards("order") == [] and "no answer fits" in reader.one("#status").text
    reader.reset()
    assert len(reader.cards("order")) == everything


def test_everything_by_keyboard(reader: Reader) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    reader.open()
    reached = []
    for _ in range(40):
        ActionChains(reader.driver).send_keys(Keys.TAB).perform()
        reached.append(reader.js("const e = document.activeElement; return e.id || e.className || e.tagName"))
    wanted = {"theme", "f-order", "f-metric", "f-region", "f-label", "f-show", "f-text", "skip", "scroll"}
    assert wanted <= set(reached)
    labels = reader.js("return [...document.querySelectorAll('select, input')].filter(e => !e.labels.length).length")
    assert labels == 0
    assert reader.js("return [...document.images].filter(i => !i.alt || !i.complete || !i.naturalWidth).length") == 0


def test_hostile_text_is_text(reader: Reader) -> None:
    reader.open()
    assert reader.js("return window.ran ?? null") is None
    assert reader.one("h1 bdi").text == SCRIPT
    answers = reader.js("return [...document.querySelectorAll('p.answer')].map(p => p.textContent)")
    assert SCRIPT in answers and RTL in answers
    assert any("tag{{ 7 * 7 }}" in text and "\ufffd" in text for text in answers)
    assert reader.js("return document.scripts.length") == 1
    way = (
        "return getComputedStyle([...document.querySelectorAll('p.answer')].find(p => p.textContent === arguments[0]))"
    )
    assert reader.js(f"{way}.direction", RTL) == "rtl"
    assert reader.js(f"{way}.direction", "The nose is bent.") == "ltr"


def test_a_long_answer_unfolds(reader: Reader) -> None:
    reader.open()
    long, _ = [s for s in reader.driver.find_elements("css selector", "details.rest summary") if "100,000" in s.text]
    assert "show more" in long.text
    height = reader.js("return arguments[0].closest('.card').offsetHeight", long)
    assert height < 700
    long.click()
    assert height < reader.js("return arguments[0].closest('.card').offsetHeight", long) < height + 600


def test_the_choice_of_dark_or_light_is_kept(reader: Reader) -> None:
    reader.open(scheme="light")
    reader.one("#theme").click()
    reader.driver.refresh()
    assert reader.one("#theme").get_attribute("aria-pressed") == "true"
    assert max(reader.colour("body", "backgroundColor")) < 60


def test_no_request_and_no_error(reader: Reader) -> None:
    reader.open()
    reader.choose("f-order", "down")
    reader.choose("f-text", "<")
    reader.one("#theme").click()
    events = [json.loads(entry["message"])["message"] for entry in reader.driver.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert {url for url in urls if not url.startswith("data:")} == {reader.path.as_uri()}
    assert not [e for e in events if e["method"] in ("Page.javascriptDialogOpening", "Network.webSocketCreated")]
    assert reader.driver.get_log("browser") == []


def test_the_policy_stops_what_gets_in(reader: Reader) -> None:
    """Were something not escaped after all, it could neither run nor load."""
    reader.open(page=toy_page().replace("</main>", f"{SCRIPT.removeprefix('</style></script>')}</main>"))
    assert reader.js("return window.ran ?? null") is None
    blocked = [entry["message"] for entry in reader.driver.get_log("browser")]
    assert sum("Content Security Policy" in message for message in blocked) >= 2


@pytest.mark.parametrize("detector", [SCRIPT, "x" * 200])
def test_a_phone_does_not_scroll_sideways(reader: Reader, detector: str) -> None:
    reader.open(PHONE, page=toy_page(detector=detector))
    assert reader.js("return [document.documentElement.scrollWidth, innerWidth]") == [PHONE[0], PHONE[0]]
    wide = "return [...document.querySelectorAll('.card, .card *')].filter(e => !e.closest('details:not([open])')"
    wide += " && e.getBoundingClientRect().right > innerWidth).length"
    assert reader.js(wide) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(reader: Reader, scheme: str) -> None:
    reader.open(scheme=scheme)
    assert (max(reader.colour("body", "backgroundColor")) < 60) == (scheme == "dark")
    for text in ("h1", ".v", ".ci", "td.beats .v", ".beats .up", ".warn", ".sub", "summary", ".answer", ".ref",
                 ".chips .is-real",
                 ".chips .is-fake", ".v-right", ".v-wrong", ".v-none", ".why-shown", ".gone", ".facts dt", "h4",
                 "figcaption", "#status", "dd", ".noimage"):  # fmt: skip
        assert contrast(reader.colour(text, "color"), reader.colour(text, "backgroundColor")) >= 4.5, text


def test_without_scripts_everything_is_there(reader: Reader) -> None:
    reader.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        reader.open()
        root = reader.cdp("DOM.getDocument", depth=0)["root"]["nodeId"]
        cards = reader.cdp("DOM.querySelectorAll", nodeId=root, selector=".card")["nodeIds"]
        assert len(cards) > 24
        heights = [reader.cdp("DOM.getBoxModel", nodeId=card)["model"]["height"] for card in cards]
        assert min(heights) > 50
        (form,) = reader.cdp("DOM.querySelectorAll", nodeId=root, selector="#filters")["nodeIds"]
        assert "hidden" in reader.cdp("DOM.getAttributes", nodeId=form)["attributes"]
    finally:
        reader.cdp("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints(reader: Reader) -> None:
    reader.open(scheme="dark")
    reader.cdp("Emulation.setEmulatedMedia", media="print", features=[])
    try:
        assert min(reader.colour("body", "backgroundColor")) > 200, "ink is not wasted on a dark ground"
        assert not reader.one("#filters").is_displayed() and not reader.one("#theme").is_displayed()
        assert reader.one(".card img").is_displayed()
    finally:
        reader.cdp("Emulation.setEmulatedMedia", media="", features=[])
    assert len(reader.cdp("Page.printToPDF", printBackground=False)["data"]) > 10_000
