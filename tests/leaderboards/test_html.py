"""The leaderboard's page as text: what stands in it, that nothing in it can do harm, and its charts' geometry."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsed_page import Page
from toy_board import (
    COLUMNS,
    IMAGE_NAME,
    NO_FALSE_POSITIVE,
    NO_REAL,
    SCRIPT_NAME,
    big_board,
    by,
    figure,
    measure,
    toy_board,
    toy_curve,
    toy_methods,
    toy_table,
)

from m2f2bench.core.records import Score
from m2f2bench.leaderboards.board import Board
from m2f2bench.leaderboards.html.charts import Charts, corners
from m2f2bench.leaderboards.html.fields import fields
from m2f2bench.leaderboards.html.heat import merge, shade
from m2f2bench.leaderboards.html.page import to_html
from m2f2bench.leaderboards.html.views import Viewer, distinguish, number
from m2f2bench.leaderboards.table import Row, Table
from m2f2bench.results.signature import DETECTOR, MAP, MEASURE


@pytest.fixture(scope="module")
def text() -> str:
    return to_html(toy_board())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def row_of(text: str, detector: str) -> list[str]:
    """The main table's cells of a detector, tags removed, white space joined."""
    table = text[text.index('id="board"') :].partition("</table>")[0]
    (row,) = (part for part in table.split('<tr class="row"')[1:] if f'data-v="{html.escape(detector)}"' in part
              or f'data-v="{html.escape(detector).replace("&quot;", "&#34;")}"' in part)  # fmt: skip
    cells = re.findall(r"<(?:td|th)\b[^>]*>(.*?)</(?:td|th)>", row, re.S)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in cells]


def test_it_is_well_formed(page: Page) -> None:
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.all("a") if a["href"].startswith("#")]
    assert links and {link[1:] for link in links} <= set(ids)
    assert {use["href"][1:] for use in page.all("use")} <= set(ids)


def test_hostile_names_are_text_and_nothing_else(page: Page, text: str) -> None:
    assert SCRIPT_NAME in page.text and IMAGE_NAME in page.text
    assert len(page.all("script")) == 1 and page.all("img") == []
    assert SCRIPT_NAME not in text and IMAGE_NAME not in text
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]


@pytest.mark.slow
@given(st.text(alphabet="<>&\"'`{}%#/\\=\u2028\u2029 abc", max_size=12))
def test_any_name_comes_back_as_it_was(name: str) -> None:
    board = toy_board()
    rows = (replace(board.table.rows[0], detector=name, trained_on=(name, "crops")), *board.table.rows[1:])
    made = Page(to_html(replace(board, table=replace(board.table, title=name, rows=rows))))
    assert made.open == [] and name in made.text
    assert len(made.all("script")) == 1 and made.all("img") == []
    assert name in {attrs.get("data-v") for attrs in made.all("th")}


def test_the_policy_admits_this_style_and_script_alone(page: Page) -> None:
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    hashes = {
        name: f"'sha256-{base64.b64encode(hashlib.sha256(raw.encode()).digest()).decode()}'"
        for name, raw in page.raw.items()
    }
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == hashes["style"] and rules["script-src"] == hashes["script"]
    assert rules["base-uri"] == rules["form-action"] == "'none'"


def test_nothing_is_fetched(page: Page) -> None:
    assert not [attrs for _, attrs in page.tags if "src" in attrs or "srcset" in attrs or "action" in attrs]
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert "url(" not in page.raw["style"] and "@import" not in page.raw["style"]
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\b", page.raw["script"])
    assert "innerHTML" not in page.raw["script"] and "eval" not in page.raw["script"]


def test_small_boards_are_small_and_always_the_same(text: str) -> None:
    assert len(text.encode()) < 60_000
    assert to_html(toy_board()) == text and text.endswith("</html>\n")


def test_cells(text: str) -> None:
    note = "note 1)"
    assert row_of(text, "alpha") == [
        "1",
        "alpha trained on crops",
        "crops",
        "★ best 0.900 † in-domain [0.850, 0.950]",
        "0.200 † in-domain [0.150, 0.250]",
        "0.550 [0.500, 0.600]",
        f"0.400 {note} [0.350, 0.450]",
    ]
    assert row_of(text, "beta")[3] == "0.800 [0.750, 0.850] coverage 0.999, 70+71"
    assert row_of(text, SCRIPT_NAME)[5] == "−0.250 [−0.300, −0.200]"
    assert row_of(text, IMAGE_NAME)[5].startswith("0.000 ["), "what rounds to zero has no sign"
    assert row_of(text, "gamma") == [
        "– not ranked",
        "gamma",
        "–",
        "0.950 [0.900, 1.000]",
        "– no result",
        f"null {NO_REAL}",
        "– no result",
    ]
    assert f"<sup>1)</sup> <span>{NO_FALSE_POSITIVE}</span>" in text


def test_unranked_rows_stand_last_and_are_said_to_be_so(text: str) -> None:
    assert text.index('data-v="beta"') < text.index("Not ranked: no value") < text.index('data-v="gamma"')
    whole = replace(toy_board(), table=replace(toy_table(), rows=toy_table().rows[:4]))
    assert "Not ranked" not in to_html(whole)


def test_sorting_has_the_full_value(text: str) -> None:
    third = replace(toy_table().rows[0], cells=(replace(toy_table().rows[0].cells[0], score=Score(1 / 3, 1, 1)),) * 4)
    assert 'data-v="0.3333333333333333"' in to_html(Board(replace(toy_table(), rows=(third,))))


def test_headings_say_dataset_protocol_and_which_way_is_better() -> None:
    view = Viewer(toy_board()).table
    assert [(g.place, g.width, g.counts, g.measure) for g in view.groups] == [
        ("crops", 2, "72+72", "m1"),
        ("faces@val", 2, "72+72", ""),
    ]
    heads = [(c.label, c.detail, c.lower) for c in view.columns]
    assert heads == [
        ("AUC", "frame", False),
        ("EER", "frame", True),
        ("MCC", "video · oracle threshold", False),
        ("TPR at 1% FPR", "frame", False),
    ]


def test_counts_stand_above_where_all_columns_share_them_and_in_a_cell_that_differs() -> None:
    view = Viewer(toy_board()).table
    assert [(c.in_group, c.counts, c.measure) for c in view.columns] == [
        ((True, True), "72+72", "m1"),
        ((True, True), "72+72", "m1"),
        ((True, False), "72+72", "m2"),
        ((True, False), "72+72", "m3"),
    ]
    assert [row.cells[0].counts for row in view.rows] == ["", "70+71", "", "", ""]


def test_signatures_are_their_columns_and_rows_parts_or_stand_apart() -> None:
    viewer = Viewer(toy_board())
    columns = [measure("crops"), measure("faces", "video", "best-ORACLE"), measure("faces")]
    assert [s.short for s in viewer.measures.views] == columns
    assert [s.short for s in viewer.detectors.views][:2] == [by("alpha"), by("beta")]
    assert viewer.odd.views == ()
    table = toy_table()
    odd = replace(table.rows[0].cells[1] or pytest.fail(), signature="data:crops|det:alpha|seed:9")
    rows = (replace(table.rows[0], cells=(table.rows[0].cells[0], odd, *table.rows[0].cells[2:])), *table.rows[1:])
    made = to_html(Board(replace(table, rows=rows)))
    assert 'data-s="x1"' in made and "<code>data:crops|det:alpha|seed:9</code>" in made


@given(st.lists(st.tuples(st.sampled_from((*MEASURE, *DETECTOR, MAP)), st.text("ab:1.,-|", max_size=8)), max_size=8))
def test_fields_put_together_are_the_signature(pairs: list[tuple[str, str]]) -> None:
    signature = "|".join(f"{key}:{value}" for key, value in pairs)
    assert "|".join(f"{key}:{value}" for key, _, value in fields(signature)) == signature


def test_fields_in_words() -> None:
    assert fields("data:a:b|n:4|det:x|y<z>") == (
        ("data", "dataset", "a:b"),
        ("n", "number of frames", "4"),
        ("det", "detector", "x|y<z>"),
    )
    assert fields("env:cpu-1|cov:1/1|map:7x7-gradcam-layer4")[1:] == (
        ("cov", "coverage (share of frames / of units with a score)", "1/1"),
        ("map", "heat maps (size, method and layer)", "7x7-gradcam-layer4"),
    )
    assert fields("") == ()


def test_rows_of_one_name_say_what_differs() -> None:
    rows = [Row("a", (), by("a", 0), (), None), Row("a", (), by("a", 1), (), None), Row("b", (), by("b"), (), None)]
    assert distinguish(rows) == ["seed:0", "seed:1", ""]


def test_numbers() -> None:
    assert [number(v) for v in (0.12345, -0.5, -0.0004, 12.0)] == ["0.123", "−0.500", "0.000", "12.000"]


def test_a_board_without_anything() -> None:
    empty = Page(to_html(Board(Table("e", "Nothing yet", (), ()))))
    assert empty.open == [] and "0 detectors, 0 columns" in empty.text
    assert empty.all("figure") == []


def test_published_figures_are_apart_and_only_addresses_are_links(page: Page, text: str) -> None:
    section = text[text.index('id="published"') :]
    assert "Not comparable with the results above" in section and "not ranked" in section
    assert [a for a in page.all("a") if not a["href"].startswith("#")] == [
        {"href": "https://example.org/paper?a=1&b=2", "rel": "noopener noreferrer"}
    ]
    for place in ("javascript:alert(1)", "data:text/html,x", "https://a.org/ onclick=x", 'https://a.org/"x'):
        made = Page(to_html(replace(toy_board(), published=(figure(place),))))
        assert place in made.text
        assert all(a["href"].startswith("#") for a in made.all("a"))


def test_a_figure_of_other_code_than_its_paper_has_a_footnote() -> None:
    both = (figure(deviates="only <half> of it"), figure(detector="Plain"))
    section = to_html(replace(toy_board(), published=both)).partition('id="published"')[2]
    assert '<th scope="row">Other †</th>' in section and '<th scope="row">Plain</th>' in section
    assert "† the code that gave these figures is not the paper" in section
    assert "<li>Other: only &lt;half&gt; of it</li>" in section


def test_no_published_figure_is_lost() -> None:
    both = (figure(), figure(value=0.5), figure(metric="accuracy", value=98.79), figure(level="video", value=0.75))
    section = to_html(replace(toy_board(), published=both)).partition('id="published"')[2]
    assert "0.8163 / 0.5000" in section and "98.79" in section and "0.75" in section
    assert section.count("<article>") == 2, "another level is another table"


def test_one_heat_table_has_all_methods_of_all_datasets() -> None:
    swap = toy_methods()
    other = replace(swap, columns=tuple(replace(c, dataset="faces", method=f"{c.method}2") for c in swap.columns))
    twice = replace(other, rows=other.rows[:2])
    merged = merge((swap, twice), toy_table())
    assert [c.method for c in merged.columns] == ["average", "Swap", "average2", "Swap2"]
    assert [row.detector for row in merged.rows] == ["alpha", "beta", SCRIPT_NAME, IMAGE_NAME, "gamma"]
    assert merged.rows[0].cells == (*swap.rows[0].cells, *other.rows[0].cells)
    assert merged.rows[2].cells == (*swap.rows[2].cells, None, None)
    board = replace(toy_board(), methods=(swap, twice))
    made = Page(to_html(board))
    assert [a["id"] for a in made.all("table") if "heat" in a.get("class", "").split()] == ["heat"]


def test_a_detector_on_two_machines_is_one_row_of_the_heat_table() -> None:
    one = toy_methods()
    here, there = (
        replace(one, rows=tuple(replace(row, signature=f"{row.signature}|env:{env}|cov:1/1") for row in one.rows))
        for env in ("cpu-1", "cpu-2")
    )
    merged = merge((here, there), toy_table())
    assert [row.signature for row in merged.rows] == [row.signature for row in one.rows]
    assert all(len(row.cells) == 4 for row in merged.rows)


def test_colours_follow_the_value_on_both_sides_of_guessing() -> None:
    auc, eer = COLUMNS[0].about, COLUMNS[1].about
    shades = [shade(Score(v, 1, 1), auc) for v in (0.5, 0.549, 0.56, 0.999, 1.0, 0.49, 0.0)]
    assert shades == ["up0", "up0", "up1", "up9", "up9", "down0", "down9"]
    assert [shade(Score(v, 1, 1), eer) for v in (0.5, 0.0, 0.9)] == ["up0", "up9", "down8"], "lower is better"
    assert shade(None, auc) == shade(Score(None, 1, 1), auc) == ""


def test_the_heat_table_can_be_read_without_colours(page: Page, text: str) -> None:
    table = text[text.index('id="heat"') :].partition("</table>")[0]
    cells = re.findall(r'<td data-v="([^"]+)"[^>]*class="([a-z0-9]+)"[^>]*>(.*?)</td>', table, re.S)
    assert len(cells) == 9, "of ten, one has no result"
    for value, shaded, inside in cells:
        assert f'<span class="v">{number(float(value))}</span>' in inside and 'class="ci">[' in inside
        low, high = map(float, re.search(r"\[([\d.]+), ([\d.]+)\]", inside).groups())  # type: ignore[union-attr]
        assert ("like guessing" in inside) == (low <= 0.5 <= high)
        assert shaded == shade(Score(float(value), 1, 1), COLUMNS[0].about)
    scale = text[text.index('class="scale"') :].partition("</ul>")[0]
    assert "0.50 guessing" in scale and "down" not in scale, "no colour is explained that is not in the table"


def test_legends_explain_only_what_is_there(text: str) -> None:
    key = text[text.index('<ul class="key">') :].partition("</ul>")[0]
    for there in ("★", "†", "[low, high]", "72+72", "– : no result", "null:", "coverage:"):
        assert there in key
    assert "‡" not in key and "of frames" not in key
    first = replace(
        toy_table().rows[2], cells=tuple(replace(c, score=Score(0.5, 9, 9)) for c in toy_table().rows[2].cells if c)
    )
    bare = to_html(Board(replace(toy_table(), rows=(first,))))
    key = bare[bare.index('<ul class="key">') :].partition("</ul>")[0]
    assert re.sub(r"<[^>]+>|\s+", " ", key.partition(">")[2]).strip() == "9+9: number of real + fake units"


def test_the_lead_is_above_everything(text: str) -> None:
    made = to_html(replace(toy_board(), lead=("Of 3 pairs <b> 1.", "And more.")))
    assert made.index("Of 3 pairs &lt;b&gt; 1.") < made.index("And more.") < made.index("<h2")
    assert 'class="lead"' not in text


def test_controls_stand_apart_with_what_they_know() -> None:
    table = toy_table()
    rows = (*table.rows[:2], replace(table.rows[4], knows=""), replace(table.rows[2], rank=None, knows="the <region>"))
    made = to_html(replace(toy_board(), table=replace(table, rows=rows)))
    order = ['data-v="beta"', "Not ranked: no value", 'data-v="gamma"', "Controls, not ranked", "data-control"]
    places = [made.index(words) for words in order]
    assert places == sorted(places) and made.count("data-control") == 1
    assert "the &lt;region&gt;" in made and made.count("the image, the question</td>") == 3
    assert "3 explainers, 1 control, 4 columns" in made
    assert "Knows" not in to_html(toy_board())


def test_curves_lie_where_their_points_are() -> None:
    charts = Charts(toy_board(), Viewer(toy_board()))
    (roc,) = charts.rocs
    assert [line.points for line in roc.lines] == ["44,310 74,40 344,10", "44,310 104,70 344,10"]
    assert roc.decades == 2 and [tick.label for tick in roc.log_ticks] == ["0.01", "0.1", "1"]
    assert [tick.at for tick in roc.log_ticks] == [44.0, 194.0, 344.0]


def test_curves_of_different_signatures_never_share_a_chart() -> None:
    other = replace(toy_curve("alpha", 0.5, 0.4), signature=measure("crops", "frame", "0.4"))
    board = replace(toy_board(), curves=(*toy_board().curves, other))
    assert [len(roc.lines) for roc in Charts(board, Viewer(board)).rocs] == [1, 2]


def test_a_curve_keeps_its_corners_and_loses_what_lies_between() -> None:
    stairs = [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    assert corners(stairs) == [(0.0, 0.0), (0.0, 2.0), (1.0, 2.0), (3.0, 4.0)]
    assert corners(stairs[:1]) == stairs[:1] and corners(stairs[:2]) == stairs[:2]


def test_detectors_keep_their_looks_and_all_look_different() -> None:
    charts = Charts(big_board(40, 4), Viewer(big_board(40, 4)))
    looks = {(s.classes.split()[0], s.shape) for s in charts.series.values()}
    assert len(looks) == len(charts.series) == 40 and charts.left_out == 0


def test_more_detectors_than_charts_can_bear_are_counted() -> None:
    text = to_html(big_board(45, 4))
    assert "The charts have the first 40 detectors of the table; 5 more are only in the tables." in text
    assert text.count('class="row"') == 90, "all rows of both tables"


def test_torch_is_not_imported() -> None:
    code = "import sys, m2f2bench.leaderboards.html.page; sys.exit('torch' in sys.modules or 'jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
