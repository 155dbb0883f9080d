"""Report of an audit across datasets: what a training on one would see of another comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..core.errors import first_line
from .listing import unreadable, unreadable_section
from .pair import Direction, Pairing, Side
from .people import by_corpus, few, full_names, uncounted
from .pictures import Match
from .report import SHOWN, Finding, Section, plural

LISTED = 1000
"""Names of people and videos in the JSON report, for each pair of splits."""
KINDS = ((False, "equal pixels"), (True, "near duplicates"))


def findings(sides: Sequence[Side], pairs: Sequence[Pairing]) -> list[Finding]:
    """Return all findings: leaks by direction, what else is shared, and what could not be looked at."""
    out: list[Finding] = []
    for pair in pairs:
        for direction in pair.directions():
            out += _leaks(direction)
        out += _labels(pair)
        out += _not_counted(pair)
        out += _elsewhere(pair)
    for side in sides:
        out += _of_side(side)
    return out


def _leaks(direction: Direction) -> Iterator[Finding]:
    """Yield what a detector that is trained on the one dataset has seen of the other's test, by topic."""
    (trained, tested), why = direction.sides, f"trained on {direction.sides[0].name}, tested on"
    why = f"{why} {tested.name}"
    found, people = direction.people()
    if people:
        named = by_corpus(people, tested.names.called, SHOWN)
        yield Finding(
            "leak", "people", f"{_of(found.n, found.total, 'person')} {_in(direction, found)} ({named}): {why}"
        )
    same, videos = direction.videos()
    if videos:
        what = f"{_of(same.n, same.total, 'video')} {_in(direction, same)} under the same name, in another form"
        yield Finding("leak", "videos", f"{what} ({few(sorted(videos), SHOWN)}): {why}")
    for near, words in ((False, "with the pixels of one"), (True, "near duplicates of one")):
        seen, labels, example = direction.pictures(near)
        if seen.n:
            share = " and ".join(
                plural(n, f"{label} frame") for n, label in zip(labels, ("real", "fake"), strict=True) if n
            )
            be = "is" if seen.n == 1 else "are"
            words = words.replace("near duplicates", "a near duplicate") if seen.n == 1 else words
            said = f"{be} {words}" if near else words
            text = f"{share} of {_place(tested, seen.tested)} {said} of {_place(trained, seen.trained)}"
            yield Finding("leak", "pictures", f"{text}, first {example}: {why}")


def _of(n: int, total: int, word: str) -> str:
    several = {"person": "people"}.get(word, f"{word}s")
    return f"{n:,} of {total:,} {word if total == 1 else several}"


def _in(direction: Direction, found: Any) -> str:
    trained, tested = direction.sides
    be = "is" if found.n == 1 else "are"
    return f"of {_place(tested, found.tested)} {be} in {_place(trained, found.trained)}"


def _place(side: Side, splits: Sequence[str]) -> str:
    """Return `faces test`, or `faces train and val`."""
    return f"{side.name} {' and '.join(splits)}"


def _labels(pair: Pairing) -> Iterator[Finding]:
    """Yield a warning if a picture is real in one dataset and fake in the other."""
    mixed = [match for key, match in pair.pictures.equal.items() if key[2]]
    if mixed:
        number = plural(sum(match.pairs for match in mixed), "pair")
        shown = pair.pictures.example(min(mixed, key=lambda match: match.nearest), False)
        both = f"{pair.first.name} and {pair.second.name}"
        text = f"{number} of frames with equal pixels, real in one of {both} and fake in the other, first {shown}"
        yield Finding("warning", "pictures", text)


def _not_counted(pair: Pairing) -> Iterator[Finding]:
    """Yield a warning for a corpus that both cards name and whose people the identities of one do not name."""
    for corpus, silent in uncounted(pair.first.names, pair.second.names):
        names = " and ".join(silent)
        text = f"{pair.first.name} and {pair.second.name} both have people of {corpus}, by their cards; "
        text += f"the identities of {names} name none of them ({corpus}:NAME), so they were not counted"
        yield Finding("warning", "people", text)


def _elsewhere(pair: Pairing) -> Iterator[Finding]:
    """Yield notes on what is shared by splits of which a training sees both, or neither."""
    directions = tuple(pair.directions())

    def harmless(splits: tuple[str, ...]) -> bool:
        return not any(one.leaks(splits) for one in directions)

    def told(topic: str, one: str, several: str, counted: Sequence[tuple[tuple[str, ...], int]]) -> Iterator[Finding]:
        there = [(splits, n) for splits, n in counted if n and harmless(splits)]
        if there:
            words = [f"1 {one} is" if n == 1 else f"{n:,} {several} are" for _, n in there]
            shown = [f"{said} in {_both(pair, splits)}" for said, (splits, _) in zip(words, there, strict=True)]
            yield Finding("note", topic, f"{few(shown, 4)}: results on the two are not independent")

    people = [(one.splits, len(one.people)) for one in pair.common]
    yield from told("people", "person", "people", people)
    videos = [(one.splits, len(one.videos)) for one in pair.common]
    yield from told("videos", "video of the same name", "videos of the same name", videos)
    for near, words in KINDS:
        every = pair.pictures.near if near else pair.pictures.equal
        counted = [(key[:2], match.pairs) for key, match in every.items() if not key[2]]
        what = words if near else f"frames with {words}"
        yield from told("pictures", f"pair of {what}", f"pairs of {what}", counted)


def _both(pair: Pairing, splits: tuple[str, ...]) -> str:
    return f"{pair.first.name} {splits[0]} and {pair.second.name} {splits[1]}"


def _of_side(side: Side) -> Iterator[Finding]:
    """Yield what could not be looked at in one dataset."""
    missing = unreadable(side.facts)
    if missing:
        first = missing[0]
        text = f"{plural(len(missing), 'frame')} of {len(side.facts):,} in {side.name} cannot be read, first "
        yield Finding("warning", "unreadable", f"{text}{first['id']}: {first['reason']}")
    if side.names.unnamed:
        text = f"{plural(side.names.unnamed, 'frame')} of {side.names.frames:,} in {side.name} without identities"
        yield Finding("note", "identities", f"{text}: whether their people are in another dataset is unknown")
    for split, error in side.absent.items():
        why = first_line(error).partition(": ")[2]
        yield Finding("note", "splits", f"split {split} of {side.name} was not audited: {why}")


def sections(sides: Sequence[Side], pairs: Sequence[Pairing], near: int) -> Iterator[Section]:
    """Yield the tables: the datasets, what is shared by name, and shared pictures."""
    rows = [
        (
            side.name,
            split,
            side.names.card.corpus,
            ", ".join(side.names.card.people),
            f"{len(side.names.people[split]):,}",
            f"{len(side.names.videos[split]):,}",
            f"{sum(one.pixels is not None and one.frame.split == split for one in side.facts):,}",
        )
        for side in sides
        for split in side.names.people
    ]
    line = "People are compared by name only within one corpus; an identity without a corpus is of the dataset's own."
    header = ("dataset", "split", "corpus", "people also of", "people", "videos", "frames read")
    yield Section("Datasets", (line,), header, tuple(rows))
    shared = [
        (*_places(pair, one.splits), f"{len(one.people):,}", *_names(pair, one.people), f"{len(one.videos):,}")
        for pair in pairs
        for one in pair.common
        if one.people or one.videos
    ]
    lines = () if shared else ("No person and no video is in two datasets by name.",)
    yield Section("People and videos by name", lines, ("one", "other", "people", "names", "videos"), tuple(shared))
    yield Section("Pictures", *_picture_table(pairs, near))
    missing = [row | {"id": f"{side.name}: {row['id']}"} for side in sides for row in unreadable(side.facts)]
    yield unreadable_section(missing)


def _places(pair: Pairing, splits: tuple[str, ...]) -> tuple[str, str]:
    return f"{pair.first.name} {splits[0]}", f"{pair.second.name} {splits[1]}"


def _names(pair: Pairing, people: Any) -> tuple[str]:
    return (by_corpus(people, pair.first.names.called, SHOWN),)


def _picture_table(
    pairs: Sequence[Pairing], near: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    rows = []
    for pair in pairs:
        for is_near, words in KINDS:
            what = f"near (up to {near} of 64 bits)" if is_near else words
            for key, match in sorted((pair.pictures.near if is_near else pair.pictures.equal).items()):
                labels = "real and fake" if key[2] else "same label"
                frames = (f"{int(match.first.sum()):,}", f"{int(match.second.sum()):,}")
                example = pair.pictures.example(match, is_near)
                rows.append((*_places(pair, key[:2]), what, labels, f"{match.pairs:,}", *frames, example))
    header = ("one", "other", "what", "labels", "pairs", "frames of one", "of the other", "first (bits apart)")
    lines = () if rows else ("No picture is in two datasets.",)
    return lines, header, tuple(rows)


def to_json(sides: Sequence[Side], pairs: Sequence[Pairing]) -> dict[str, Any]:
    """Return everything that was counted, by pair of datasets and splits."""
    return {
        "datasets": [
            {
                "name": side.name,
                "corpus": side.names.card.corpus,
                "people_of": list(side.names.card.people),
                "people": {split: len(found) for split, found in side.names.people.items()},
                "videos": {split: len(found) for split, found in side.names.videos.items()},
                "frames_without_identities": side.names.unnamed,
            }
            for side in sides
        ],
        "by_name": [
            {
                **_keys(pair, one.splits),
                "people": len(one.people),
                "names": full_names(one.people, pair.first.names.called, LISTED),
                "videos": len(one.videos),
                "video_names": sorted(one.videos)[:LISTED],
            }
            for pair in pairs
            for one in pair.common
        ],
        "pictures": [
            {**_keys(pair, key[:2]), "what": words, "labels_differ": key[2], **_match_json(pair, match, near)}
            for pair in pairs
            for near, words in KINDS
            for key, match in sorted((pair.pictures.near if near else pair.pictures.equal).items())
        ],
        "unreadable": [{"dataset": side.name, **row} for side in sides for row in unreadable(side.facts)],
        "absent_splits": {side.name: {split: str(e) for split, e in side.absent.items()} for side in sides},
    }


def _keys(pair: Pairing, splits: tuple[str, ...]) -> dict[str, list[str]]:
    return {"datasets": [pair.first.name, pair.second.name], "splits": list(splits)}


def _match_json(pair: Pairing, match: Match, near: bool) -> dict[str, Any]:
    one, other = pair.pictures.first[match.nearest.first], pair.pictures.second[match.nearest.second]
    return {
        "pairs": match.pairs,
        "frames": [int(match.first.sum()), int(match.second.sum())],
        "first": [one.id, other.id],
        "distance": match.nearest.distance if near else 0,
    }
