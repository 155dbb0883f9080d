"""Options that decide a dataset's rows: one that is added to a released adapter must leave earlier rows valid."""

from __future__ import annotations

import pytest

from m2f2bench.datasets.base import AdapterOptions
from m2f2bench.loading import ADAPTERS

RELEASED = {
    "celebdf": "version",
    "conversations": "files image images label method real_is",
    "ddvqa": "compression forms",
    "deeperforensics": "reals targets variants",
    "deepfake-eval-2024": "media",
    "deepfakebench": "compression dataset form lists lmdb methods",
    "df40": "compression domain lists methods",
    "dfd": "compression",
    "dfdc": "",
    "dfdcp": "",
    "fakeavceleb": "",
    "ffiw": "",
    "ffpp-videos": "compression methods splits",
    "folder": "columns folders manifest",
    "hdf5": "compression files methods splits",
    "huggingface": "config identity image label labels method name real_is revision splits video",
    "image-tree": "expects generators inside labels masks method methods splits splits_inside",
    "kodf": "",
    "lists": "grouped images lists real_is split",
    "prepared": "crop",
    "synthetic": "compression frames_per_video methods seed size test train val videos_per_identity",
    "uadfv": "",
    "webdataset": "label real_is shards",
    "wilddeepfake": "",
}
"""The options in the keys of stored rows. Name a new option in `later` of its class; a new adapter has a line here."""


@pytest.mark.parametrize("name", ADAPTERS.builtin)
def test_a_later_option_is_in_no_key_at_its_default(name: str) -> None:
    options = ADAPTERS.get(name).Options
    kept = set(options.model_fields) - options.incidental - options.later
    assert sorted(kept) == RELEASED[name].split()
    assert all(not options.model_fields[one].is_required() for one in options.later)


class _Options(AdapterOptions):
    incidental = frozenset({"cache"})
    later = frozenset({"fps"})
    methods: tuple[str, ...] = ("a",)
    fps: int = 25
    cache: str = ""


def test_what_decides_is_all_else_and_a_later_option_that_is_set() -> None:
    assert _Options().content() == _Options(cache="/tmp", fps=25).content() == {"methods": ["a"]}
    assert _Options(fps=30).content() == {"methods": ["a"], "fps": 30}
    assert _Options(methods=("b",)).content() == {"methods": ["b"]}
