"""Table of all caches on disk, with everything that decides their content.

Everything under `decided_by` is part of the key or stamp of an entry: when it changes, the entry is not found. Tests
change each in turn, and fail if the package caches something that is not listed here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cache:
    """One cache: its place and its key."""

    name: str
    place: str
    """Relative to the cache folder, or to `--out` (RUN)."""
    keyed_in: str
    """The function that makes the key."""
    decided_by: tuple[str, ...]


FRAME = ("frame id", "size and times of its file, else the digest of its pixels")
CACHES = (
    Cache(
        "predictions",
        "RUN/predictions.parquet",
        "detectors.keys.row_key, runs.job.current_rows",
        (
            "detector: name, weights, state, code of its modules, files that it names",
            "preprocessing, precision, seed",
            "device, machine, versions of Python and of the packages that predict",
            "version of m2f2bench's predictions",
            "dataset: name, adapter, root, options",
            *FRAME,
        ),
    ),
    Cache(
        "answers",
        "RUN/answers.parquet",
        "detectors.keys.row_key, runs.job.current_answers",
        ("all that decides predictions", "kinds of questions", "text of the question"),
    ),
    Cache(
        "heat maps",
        "RUN/maps.parquet",
        "runs.heatmaps_job.HeatMapsJob.key, runs.heatmaps_job.current_maps",
        (
            "all that decides predictions",
            "method and layer of class activation maps, version of grad-cam",
            "what they are compared with: masks; steps, area, fills, version of scipy",
            "seed of the controls, version of m2f2bench's measures of heat maps",
            "pixels of the true mask",
        ),
    ),
    Cache(
        "trainings",
        "OUT/training.json and checkpoints",
        "runs.train._identity",
        (
            "card with options and input, code of the backend, files that the card names",
            "settings, stage, seed",
            "dataset: name, list of frames with labels and people, digests of their pixels",
            "questions and answers, weights of the stage before, LLM",
            "version of m2f2bench",
        ),
    ),
    Cache(
        "digests of frames",
        "digests/*.jsonl",
        "datasets.digests.frame_digests",
        ("dataset: name, adapter, root, options", "versions of the decoders and of m2f2bench", "stamp of the frame"),
    ),
    Cache(
        "digests of a detector's files",
        "digests/files.jsonl",
        "core.identity.file_digest",
        ("path", "size and times of the file"),
    ),
    Cache(
        "digests of LLMs' files",
        "digests/llm.jsonl",
        "detectors.llm.source.language_fingerprint",
        ("path", "size and times of the file"),
    ),
    Cache(
        "facts of an audit",
        "audit/*.jsonl",
        "auditing.facts.memo_path",
        (
            "dataset: name, adapter, root, options",
            "code of the adapter",
            "versions of the decoders, of m2f2bench and of the facts",
            "stamp of the frame",
        ),
    ),
    Cache(
        "features of a frozen CLIP",
        "clip-features/*/",
        "detectors.m2f2det.features.clip_key",
        (
            "weights of the image tower",
            "depths",
            "precision",
            "version of torch, kind of device",
            "pixels that it sees",
        ),
    ),
    Cache(
        "answers of an endpoint",
        "openai/*.jsonl",
        "detectors.openai.detector._digest",
        ("address", "model", "prompts", "picture as sent", "sampling; a change behind the address cannot be seen"),
    ),
    Cache(
        "matches of METEOR",
        "meteor.jsonl",
        "metrics.text.meteor.meteor_counts",
        ("answer", "references", "program and its options", "version of Java"),
    ),
    Cache(
        "synthetic faces",
        "synthetic/*/",
        "datasets.synthetic.cache.cache_folder",
        ("options", "code that draws", "versions of the encoder and of numpy", "checksum of what was written"),
    ),
)
