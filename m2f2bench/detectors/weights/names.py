"""Names of tensors: from those in a file to those of a network, without what wrappers and other projects put before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

WRAPPERS = ("module", "_orig_mod", "model", "backbone", "net", "network", "base_model", "encoder", "detector")
"""First parts of names that DistributedDataParallel, torch.compile, Lightning and others put before a network's."""
HEADS = ("head", "classifier", "fc", "last_linear", "last_layer", "linear", "output", "_fc")
"""First parts of the names of a network's last layer."""
WORDS = {"base_model.": "backbone.", "classifier.": "head."}
"""Beginnings of names in some published files (DF40's), and those that they stand for."""
DEPTH = 4


def unwrapped(names: Iterable[str], wanted: Collection[str]) -> dict[str, str]:
    """Return a file's names by a network's: without a wrapper's prefix, if more names match then.

    Wrappers can be nested (`module._orig_mod.`); a prefix is removed from all names or, if some names lack it
    (`base_model.` and `classifier.`), from those that have it, or replaced by the network's word for the same part.
    It is only ever the beginning of a name.
    """
    known = set(wanted)
    stages = [now := {name: name for name in names}]
    for _ in range(DEPTH):
        first = {name.partition(".")[0] for name in now}
        if len(first) != 1 or first.pop() not in WRAPPERS:
            break
        now = {name.partition(".")[2]: own for name, own in now.items()}
        stages.append(now)
    return max((_fitted(stage, known) for stage in stages), key=lambda one: len(known & set(one)))


def without_module(names: Iterable[str]) -> dict[str, str]:
    """Return a file's names without `module.`, DistributedDataParallel's prefix, if all have it (also twice)."""
    found = {name: name for name in names}
    while found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): there for name, there in found.items()}
    return found


def reworded(names: Iterable[str], words: Mapping[str, str], expected: Collection[str] | None = None) -> dict[str, str]:
    """Return a file's names by their plain form: without `module.` if all have it, and with first words replaced.

    `words` are beginnings and what they stand for. With `expected`, a word is replaced only where this makes one of
    these names of one that is none. Two tensors never get one name: then the word stays.
    """
    found = without_module(names)
    plain: dict[str, str] = {}
    for name, there in found.items():
        word = next((word for word in words if name.startswith(word)), None)
        other = name if word is None else words[word] + name.removeprefix(word)
        fits = other not in found and (expected is None or (other in expected and name not in expected))
        plain[other if fits else name] = there
    return plain


def _fitted(best: dict[str, str], known: set[str]) -> dict[str, str]:
    """Return names after the exchanges of first parts that each let more of them match."""
    for _ in range(DEPTH):
        tried = [best, *_renamed(best, known)]
        better = max(tried, key=lambda one: len(known & set(one)))
        if better is best:
            break
        best = better
    return best


def _renamed(names: Mapping[str, str], wanted: Collection[str]) -> Iterable[dict[str, str]]:
    """Yield the names with one of their first parts removed, added or replaced; never two tensors of one name."""
    own, theirs = parts_of(names), parts_of(wanted)
    pairs = [(one, "") for one in own if one in WRAPPERS]
    pairs += [(one, other) for one in own for other in theirs if {one, other} <= set(WRAPPERS) and one != other]
    pairs += [("", other) for other in theirs if other in WRAPPERS and other not in own]
    pairs += [(one, other) for one in own - theirs for other in theirs - own if {one, other} <= set(HEADS)]
    for before, after in sorted(pairs):
        made = {_exchanged(name, before, after): place for name, place in names.items()}
        if len(made) == len(names):
            yield made


def _exchanged(name: str, before: str, after: str) -> str:
    if not before:
        return f"{after}.{name}"
    if not name.startswith(f"{before}."):
        return name
    rest = name[len(before) + 1 :]
    return f"{after}.{rest}" if after else rest


def parts_of(names: Iterable[str]) -> set[str]:
    """Return the first parts of names: `head` of `head.weight`."""
    return {name.partition(".")[0] for name in names}
