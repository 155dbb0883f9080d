"""The demo's page: what it shows, what its buttons do, and its interface for programs (`/judge`, `/film`, `/ask`).

Gradio is imported when a page is built.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError, M2F2BenchError, first_line
from ..core.records import JUDGE_QUESTION
from ..inference.questions import QUESTIONS
from . import words
from .asking import words as spoken
from .drawing import boxed, curve, mapped
from .filming import Film, film
from .judging import Panel

if TYPE_CHECKING:
    from ..core.records import Image

log = logging.getLogger("m2f2bench")
TITLE = "m2f2bench: real or forged?"
KEPT_SECONDS = 3600
"""After this time without use, a visitor's crops are forgotten."""
WAITING = 20
"""Visitors' requests that wait at most; further ones are refused."""
REGIONS = QUESTIONS[2:]
"""Asked one after the other for the words about each region."""
FURTHER = "A further question is about the same face; answers do not build on each other."
DEVICE = "device"
"""Name of the queue that all work shares: there is one device."""
FITTED = {"fit_columns": False, "height": "auto", "object_fit": "contain"}
"""Of pictures in a gallery: none is cut off."""
CSS = """
.m2-face {border-top: 1px solid #8886; padding: .4em 0} .m2-face h3 {margin: 0} .m2-line {margin: .3em 0}
.m2-bar {display: inline-block; width: 90px; height: .7em; background: #8884; vertical-align: middle}
.m2-bar i {display: block; height: 100%; background: #777}
.m2-fake {color: #be1e2d} .m2-real {color: #146e5a} .dark .m2-fake {color: #ff8c94} .dark .m2-real {color: #6fd3bb}
.m2-note {font-size: .9em; opacity: .85} .m2-trouble {border-left: 4px solid #be1e2d; padding: .5em .8em}
.m2-curve {width: 100%; max-width: 720px} .m2-curve text {font-size: 12px; fill: currentColor}
.m2-grid {stroke: currentColor; stroke-opacity: .35} .m2-key {list-style: none; padding: 0}
.m2-key svg {display: inline} ul.m2-about, ul.m2-note, #m2-filmed ul:not(.m2-key) {padding-left: 1.2em}
.m2-about li, ul.m2-note li {margin-left: 1em} .m2-score {white-space: nowrap}
#m2-maps .thumbnail-lg, #m2-surest .thumbnail-lg {aspect-ratio: auto; height: auto}
#m2-maps .caption-label, #m2-surest .caption-label {position: static; max-width: 100%; white-space: normal}
#m2-maps .grid-wrap, #m2-surest .grid-wrap {min-height: 0; max-height: none}
#m2-video .wrap, #m2-video .mirror-wrap {max-height: 358px}
@media (max-width: 640px) {#m2-surest .grid-container {grid-template-columns: 1fr}}
footer .divider {display: none !important}
"""


def one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make errors of a function for programs into Gradio's, with one line."""
    import gradio

    @wraps(function)
    def wrapped(*given: Any) -> Any:
        try:
            return function(*given)
        except Exception as error:
            raise gradio.Error(line(error), print_exception=False) from None

    return wrapped


def line(error: Exception) -> str:
    """Return one line for the visitor; what nobody expected is logged too."""
    if not isinstance(error, M2F2BenchError):
        log.warning("the demo: %s", first_line(error), exc_info=error)
        return f"it failed: {first_line(error)}"
    return str(error)


class Page:
    """The page of a panel."""

    def __init__(self, panel: Panel, examples: Sequence[Path] = ()) -> None:
        """Take a panel, and pictures that a visitor may try."""
        self.panel, self.examples = panel, [str(path) for path in examples]
        self.names = [judge.name for judge in panel.judges]
        self.explains = [judge.name for judge in panel.judges if judge.client is not None]

    def build(self) -> Any:
        """Return the page, a `gradio.Blocks`."""
        import gradio

        with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, 600)) as page:
            gradio.Markdown(f"# {TITLE}\nFaces in a photo or video are found, and each is judged by itself.")
            chosen = gradio.CheckboxGroup(
                self.names, value=self.names, label="Detectors", visible=len(self.names) > 1, elem_id="m2-detectors"
            )
            with gradio.Tab("Picture"):
                self._picture(gradio, chosen)
            with gradio.Tab("Video"):
                self._video(gradio, chosen)
            gradio.Markdown("### The detectors")
            gradio.HTML(words.cards(self.panel.judges))
            gradio.HTML(
                '<p class="m2-note">Pictures stay on this machine, and are deleted ten minutes after they came.</p>'
            )
            self._programs(gradio)
        page.queue(max_size=WAITING, default_concurrency_limit=1)
        return page

    def _picture(self, gradio: Any, chosen: Any) -> None:
        crops = gradio.State([], time_to_live=KEPT_SECONDS)
        with gradio.Row():
            with gradio.Column(min_width=300):
                sources = ["upload", "webcam", "clipboard"]
                given = _as_it_came(gradio.Image(sources=sources, label="Photo", elem_id="m2-photo", height=320))
                button = gradio.Button("Judge", variant="primary", elem_id="m2-judge")
                if self.examples:
                    # Not `Examples`, which makes the photo's component anew: it would read the file by itself.
                    tried = gradio.Dataset(
                        label="Examples",
                        components=[given],
                        samples=[[path] for path in self.examples],
                        type="index",
                        elem_id="m2-examples",
                    )
            with gradio.Column(min_width=300):
                said = gradio.HTML(elem_id="m2-said")
        with gradio.Row():
            with gradio.Column(min_width=300):
                drawn = gradio.Image(label="Faces", interactive=False, visible=False, elem_id="m2-boxes", buttons=[])
            with gradio.Column(min_width=300):
                maps = gradio.Gallery(label="Heat maps", columns=1, visible=False, elem_id="m2-maps", **FITTED)
                scale = gradio.HTML(f'<p class="m2-note">{words.MAP_WORDS}</p>', visible=False)
        which = self._questions(gradio, crops) if self.explains else gradio.State(None)
        event = {
            "fn": self.judge,
            "inputs": [given, chosen],
            "outputs": [said, drawn, maps, scale, crops, which],
            **self._inside("pictured"),
        }
        button.click(**event)
        given.input(**event)
        if self.examples:
            shown = tried.click(
                lambda number: self.examples[number], tried, given, **self._inside("tried", device=False)
            )
            shown.then(**event)

    def _questions(self, gradio: Any, crops: Any) -> Any:
        """Add the part where an explainer is asked, and return the choice of the face."""
        gradio.Markdown(f"### Ask about a face\n{FURTHER}")
        with gradio.Row():
            which = gradio.Radio([], label="Face", visible=False, elem_id="m2-face", min_width=120)
            who = gradio.Dropdown(
                self.explains, value=self.explains[0], label="Explainer", visible=len(self.explains) > 1
            )
        chat = gradio.Chatbot(
            show_label=False,
            height=300,
            elem_id="m2-chat",
            render_markdown=False,
            buttons=[],
            feedback_options=None,
            placeholder="Answers stand here.",
        )
        question = gradio.Textbox(
            label="Question", value=JUDGE_QUESTION, max_length=500, elem_id="m2-question", submit_btn="Ask"
        )
        regions = gradio.Button("Ask about skin, eyes, eyebrows, nose and mouth", elem_id="m2-regions")
        clear = gradio.Button("Clear", size="sm")
        shared = {"outputs": chat, **self._inside("told")}
        question.submit(self.ask, [question, chat, crops, which, who], **shared)
        regions.click(self.ask_regions, [chat, crops, which, who], **shared)
        clear.click(lambda: [], None, chat, **self._inside("cleared", device=False))
        return which

    def _video(self, gradio: Any, chosen: Any) -> None:
        sources = ["upload", "webcam"]
        given = _as_it_came(gradio.Video(sources=sources, label="Video", elem_id="m2-video", height=400))
        button = gradio.Button("Judge", variant="primary", elem_id="m2-film")
        said = gradio.HTML(elem_id="m2-filmed")
        frames = gradio.Gallery(label="Surest frames", columns=3, visible=False, elem_id="m2-surest", **FITTED)
        event = {
            "fn": self.film,
            "inputs": [given, chosen],
            "outputs": [said, frames],
            **self._inside("filmed"),
        }
        button.click(**event)
        given.input(**event)

    def _programs(self, gradio: Any) -> None:
        """Add the endpoints for programs; nothing of them is seen on the page."""
        with gradio.Row(visible=False):
            given = gradio.File(label="file", type="filepath")
            names = gradio.JSON(label="detectors", value=[])
            found = gradio.JSON(label="found")
            question = gradio.Textbox(label="question", value=JUDGE_QUESTION)
            face = gradio.Number(label="face", value=1, precision=0)
            who = gradio.Textbox(label="explainer", value="")
            answer = gradio.Textbox(label="answer")
            one, two, three = (gradio.Button("for programs") for _ in range(3))
        shared = self._one_device()
        one.click(one_line(self.judged), [given, names], found, api_name="judge", **shared)
        two.click(one_line(self.filmed), [given, names], found, api_name="film", **shared)
        three.click(self.asked, [given, question, face, who], answer, api_name="ask", **shared)

    def _one_device(self) -> dict[str, Any]:
        return {"concurrency_limit": 1, "concurrency_id": DEVICE}

    def _inside(self, name: str, device: bool = True) -> dict[str, Any]:
        """Return settings of what only the page calls; its name must not take one of the programs'."""
        shared = self._one_device() if device else {"queue": False}
        return {"api_name": f"page-{name}", "api_visibility": "private", **shared}

    def judge(self, path: str | None, names: Sequence[str] | None) -> list[Any]:
        """Return what the page shows of a picture: words, boxes, maps and their scale, crops, and their choice."""
        import gradio

        hidden = gradio.update(visible=False, value=None)
        which = gradio.update(choices=[], value=None, visible=False) if self.explains else None
        if not path:
            return ["", hidden, hidden, gradio.update(visible=False), [], which]
        try:
            judges = self.panel.chosen(names)
            image = self.panel.read(Path(path))
            people = self.panel.judge(image, names)
        except Exception as error:
            return [words.trouble(line(error)), hidden, hidden, gradio.update(visible=False), [], which]
        drawn = [(judge.name, mapped(image, people, judge.name)) for judge in judges]
        maps = [(one, f"{name}: heat map, relative within this picture") for name, one in drawn if one is not None]
        if self.explains:
            numbers = [str(number) for number in range(1, len(people) + 1)]
            which = gradio.update(choices=numbers, value="1", visible=len(people) > 1)
        return [
            words.verdicts(people, judges),
            gradio.update(value=boxed(image, people), visible=True),
            gradio.update(value=maps, visible=bool(maps)),
            gradio.update(visible=bool(maps)),
            [{name: one.crop.image for name, one in person.found.items()} for person in people],
            which,
        ]

    def film(self, path: str | None, names: Sequence[str] | None) -> list[Any]:
        """Return what the page shows of a video: words with the curve, and the surest frames."""
        import gradio

        hidden = gradio.update(visible=False, value=None)
        if not path:
            return ["", hidden]
        try:
            seen = film(self.panel, Path(path), names)
        except Exception as error:
            return [words.trouble(line(error)), hidden]
        told = curve(seen.lines(), seen.seconds) + words.summary(seen.means())
        told += f'<p class="m2-note">{seen.remark}</p>' if seen.remark else ""
        return [
            told + words.foot(self.panel.chosen(names)),
            gradio.update(value=_surest(seen), visible=True),
        ]

    def ask(
        self, question: str, chat: list[Any], crops: list[dict[str, Image]], which: str | None, who: str
    ) -> Iterator[list[Any]]:
        """Yield the chat with the question, and with its answer as it comes."""
        chat = [*chat, _said("user", question)]
        yield chat
        try:
            if not crops:
                raise DataError("no face is there to ask about: give a picture first")
            judge, mine = self.panel.explainer(who), crops[int(which or 1) - 1]
            if judge.name not in mine:
                raise DataError(f"{judge.name} has not judged this picture: tick it above, and judge again")
            for text in spoken(self.panel, judge, mine[judge.name], question):
                yield [*chat, _said("assistant", text)]
        except Exception as error:
            yield [*chat, _said("assistant", line(error))]

    def ask_regions(
        self, chat: list[Any], crops: list[dict[str, Image]], which: str | None, who: str
    ) -> Iterator[list[Any]]:
        """Yield the chat with each region's question and answer, as they come."""
        for question in REGIONS if crops else REGIONS[:1]:
            for chat in self.ask(question, chat, crops, which, who):  # noqa: B020
                yield chat

    def judged(self, file: str, detectors: list[str] | None) -> dict[str, Any]:
        """Judge the faces of a picture: `file` is a picture, `detectors` names (all if empty). Returns the faces."""
        image = self.panel.read(_given(file))
        people = self.panel.judge(image, detectors or None, maps=False)
        return {"width": image.shape[1], "height": image.shape[0], "faces": [one.to_json() for one in people]}

    def filmed(self, file: str, detectors: list[str] | None) -> dict[str, Any]:
        """Judge the people in a video: `file` is a video, `detectors` names (all if empty). Returns scores by time."""
        return film(self.panel, _given(file), detectors or None).to_json()

    def asked(self, file: str, question: str, face: float, explainer: str) -> Iterator[str]:
        """Ask about a face of a picture, counted from 1, from left to right; the answer comes as it is written."""
        import gradio

        try:
            judge = self.panel.explainer(explainer)
            image = self.panel.read(_given(file))
            with self.panel.lock:
                faces = self.panel.faces(image, [judge])
            if not 1 <= face <= len(faces):
                raise DataError(f"there is no face {face:g}: the picture has {len(faces)}")
            yield from spoken(self.panel, judge, faces[int(face) - 1].found[judge.name].crop.image, question)
        except Exception as error:
            raise gradio.Error(line(error), print_exception=False) from None


def _said(role: str, text: str) -> dict[str, str]:
    """Return a message of the chat; what looks like HTML is shown as it is."""
    return {"role": role, "content": escape(text, quote=False)}


def _given(file: str | None) -> Path:
    if not file:
        raise DataError("no file came: give one")
    return Path(file)


def _surest(seen: Film) -> list[tuple[Image, str]]:
    found = []
    for number, shot in seen.surest():
        name, verdict = next(iter(shot.person.verdicts.items()))
        who = f"person {number}, " if len(seen.people) > 1 else ""
        caption = f"{shot.second:.1f} s, {who}{name}: {verdict.word}, P(fake) {verdict.score:.3f}"
        found.append((boxed(seen.images[shot.number], [shot.person], number), caption))
    return found


def _as_it_came(component: Any) -> Any:
    """Return a Gradio component that gives its file's path as it came: what is wrong with the file is said by us.

    Its own reading would end with an error of Pillow's or FFmpeg's. A subclass would make Gradio write a file next to
    this one.
    """
    component.preprocess = lambda payload: payload.path if payload is not None else None
    return component
