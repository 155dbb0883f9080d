"""Verdicts of an answer in prose: sentence by sentence, by words, their subjects, and negation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from ..languages.gloss import SPACES, in_english
from .polar import turned
from .sentence import PERSON, PICTURE, REST, Said, SentenceReader, general
from .verdict_words import REWRITES, TURNS, WORDS

TAG = re.compile(r"<[^<>\n]{0,40}>")
_PLAIN: dict[str, str | None] = dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad")
_PLAIN |= {"’": "'", "‘": "'", "ʼ": "'", "`": " ", "–": "—", "*": " ", "_": " ", "#": " ", '"': " ", "“": " ", "”": " "}
QUOTES = str.maketrans(_PLAIN)
_TOKEN = re.compile(r"\d+(?:\.\d+)?%?|[^\W\d_]+|[.?!\n,;:()/|—']")
_ENDS = frozenset(".?!\n")
SHORTEST = 3
"""A first sentence of at most this many words ("Likely fake.") is a conclusion."""
PLAIN = 6
"""A sentence of at most this many words about the picture ("the image is fake") is also a conclusion."""


def read_prose(text: str) -> str:
    """Return the verdict of a text's sentences, `real`, `fake` or `undetermined`, or "" if there is none.

    Words such as *genuine* and *manipulated* count for any subject; *realistic*, *natural* and their opposites only if
    the whole picture is said to be or look so. A negation reverses what follows it in its clause. No verdicts are:
    questions, alternatives ("real or fake"), conditions ("whether", "if it were"), comparisons ("unlike a real face"),
    statements about pictures in general ("deepfakes often …"), and a yes or no that answers no question of the text. A
    verdict on the picture precedes those on the person, and these precede those on parts of the face. Of several
    verdicts on the picture, the last one counts, conclusions ("overall", "so") first, and those that are only conceded
    ("although it looks real") or possible ("might be") last. But a picture is fake if a part is called fake afterwards
    ("looks real, but the mouth was generated"). Of only parts, or of a part and the rest, the answer is fake if one is
    called fake. Each word is read once: time is linear in the text.
    """
    found = _said(text)
    main = [said for said in found if not said.conceded and not said.possible]
    whole = [said for said in main if said.about == PICTURE and said.strong]
    if whole:
        chosen = next((said for said in reversed(whole) if said.final), whole[-1])
        return "fake" if chosen.verdict == "real" and _taken_back(main[main.index(chosen) + 1 :]) else chosen.verdict
    parts = {said.about: said.verdict for said in main if said.strong and said.about not in (PICTURE, PERSON)}
    person = [said.verdict for said in main if said.about == PERSON and said.strong]
    if person:
        return "fake" if "fake" in (person[-1], *parts.values()) else "real"
    last = {said.about: said.verdict for said in main if said.verdict != "undetermined"}
    if last:
        return "fake" if "fake" in last.values() else "real"
    if main:
        return "undetermined"
    possible = {said.verdict for said in found if said.possible and not said.conceded}
    if len(possible) > 1:
        return "undetermined"
    return possible.pop() if possible else found[-1].verdict if found else ""


def _taken_back(behind: list[Said]) -> bool:
    """Return whether a part is called fake after a real picture: "it looks real, but the mouth was generated"."""
    return any(said.strong and said.verdict == said.raw == "fake" and said.about != PERSON for said in behind)


def verdicts_by_subject(text: str) -> dict[str, str]:
    """Return the last verdict in a strong word, `real` or `fake`, for each subject: `picture`, or a part's word."""
    return {said.about: said.verdict for said in _said(text) if said.strong and not said.conceded}


def _said(text: str) -> list[Said]:
    found: list[Said] = []
    asked, raised, supposed, denied, refused = "", "", "", False, False
    for number, (sentence, question) in enumerate(_sentences(text)):
        whole = " ".join(sentence)
        if (declined := TURNS["refuses"].search(whole)) and (place := whole.find(" but ", declined.end())) < 0:
            refused = True
            continue
        if declined:  # "I can't give a judgement, but it looks edited"
            sentence = whole[place:].split()
            whole = " ".join(sentence)
        if refused and not WORDS["this"] & set(sentence[:6]):
            continue
        if asked and (reply := TURNS["reply"].match(whole)):
            found.append(Said(turned(asked) if _denies(reply) else asked, PICTURE, True, raw=asked))
            if reply.end() == len(whole):
                continue
        excepted = max((place for place, word in enumerate(sentence) if word == "except"), default=-1)
        reader = SentenceReader(sentence, excepted, general(sentence))
        said = _with_exception(reader.read(), sentence, excepted)
        if question:
            asked = raised = said[-1].verdict if said else reader.asked
            continue
        said = said + _replied(whole, said, reader.asked or raised, reader.asked)
        denied = denied or (bool(supposed) and TURNS["contrary"].search(whole) is not None)
        if TURNS["supposed"].search(whole):
            supposed = reader.asked
            denied = denied or any(map(TURNS["contrary"].search, TURNS["clauses"].split(whole, maxsplit=1)[1:]))
        short = number == 0 and (len(sentence) <= SHORTEST or _opens(sentence))
        plain = 1 < len(sentence) <= PLAIN and sentence[0] in ("the", "this") and sentence[1] in WORDS["picture"]
        found += [replace(one, final=True) for one in said] if short or plain else said
        asked, raised = reader.asked or supposed, said[-1].raw if said else reader.asked or supposed
    if not found and denied:
        return [Said(turned(supposed), PICTURE, True)]
    return found


_EXCEPTABLE = (WORDS["parts"] - {"rest"}) | {"face", "faces", "head"}


def _with_exception(said: list[Said], sentence: list[str], excepted: int) -> list[Said]:
    """Apply "except" to a sentence's verdicts: the picture's become the rest's; the excepted part gets the opposite."""
    if excepted < 0:
        return said
    part = next((word for word in sentence[excepted + 1 :] if word in _EXCEPTABLE), "")
    rest = [
        replace(one, about=REST) if one.verdict == "real" and one.about in (PICTURE, REST, part) else one
        for one in said
    ]
    if part and any(one.about == REST and one.verdict == "real" for one in rest):
        rest.append(Said("fake", part, True, raw="fake"))
    return rest


def _replied(whole: str, said: list[Said], pending: str, asked: str) -> list[Said]:
    """Return verdicts that a sentence adds by answering, denying or leaving open what was raised before.

    `whole` is the sentence, `said` its own verdicts, `pending` the verdict waiting for an answer, `asked` that of a
    condition of the sentence itself.
    """
    added: list[Said] = []
    if asked and (reply := TURNS["after_all"].search(whole)):
        added.append(Said(turned(asked) if "not" in reply.group() else asked, PICTURE, True))
    stuck = TURNS["stuck"].search(whole)
    if stuck and not (said and _turns(whole.split(), whole.count(" ", 0, stuck.start()), said[-1].place)):
        final = any(one.final for one in said)
        added.append(Said("undetermined", PICTURE, True, final=final, raw="undetermined"))
    raised = said[-1].raw if said else pending
    left = TURNS["left_out"].search(whole)
    if not raised or added:
        return added
    if not said and TURNS["disputed"].search(whole):
        added.append(Said(turned(raised), PICTURE, True, final=True, raw=raised))
    elif not said and not asked and TURNS["upheld"].search(whole):
        added.append(Said(raised, PICTURE, True, raw=raised))
    elif left and (not said or whole.count(" ", 0, left.end()) > said[-1].place):
        about = next((word for word in left.group().split() if word in WORDS["parts"]), PICTURE)
        added.append(Said(turned(raised), about, True, final=True, raw=raised))
    elif said and TURNS["taken_back"].search(whole):
        added.append(Said(turned(said[-1].verdict), said[-1].about, True, raw=raised))
    return added


def _opens(sentence: list[str]) -> bool:
    """Return whether a sentence begins with its verdict: "Fake, I would say"."""
    return sentence[0] in WORDS["says_real"] | WORDS["says_fake"] and sentence[1] in (",", "—", ":", "because", "since")


def _turns(sentence: list[str], start: int, stop: int) -> bool:
    """Return whether an open question is decided between two words: "hard to say, but I think it is fake"."""
    return any(word in WORDS["but"] or word in WORDS["opinions"] for word in sentence[start:stop])


def _denies(reply: re.Match[str]) -> bool:
    said = reply.group().split()
    return bool(WORDS["denials"] & set(said)) or said[0] in WORDS["denies_first"]


def normalised(text: str) -> str:
    """Return a text in lower case, without markup, with plain quotes and the rewrites of `verdict_words.REWRITES`."""
    plain = TAG.sub(" ", in_english(unicodedata.normalize("NFKC", text).lower().translate(QUOTES)))
    plain = SPACES.sub(" ", plain)
    for pattern, put in REWRITES:
        plain, changed = pattern.subn(put, plain)
        plain = SPACES.sub(" ", plain) if changed else plain
    return plain


def _sentences(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the words and marks of each sentence, and whether it is a question."""
    sentence: list[str] = []
    for token in _TOKEN.findall(normalised(text)):
        if token not in _ENDS:
            sentence.append(token)
            continue
        if sentence:
            yield sentence, token == "?"
        sentence = []
    if sentence:
        yield sentence, False
