"""The two controls: a constant, and a seeded guess."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT

from m2f2bench.cards.models import DetectorCard, read_card
from m2f2bench.core.errors import CardError
from m2f2bench.detectors.controls import ConstantDetector, RandomDetector

CARDS = ROOT / "detectors"
IMAGE = np.zeros((8, 8, 3), np.uint8)


def card(backend: str, **options) -> DetectorCard:
    return DetectorCard(name="x", backend=backend, options=options)


def test_constant() -> None:
    shipped = read_card("detectors", CARDS / "constant.yaml")
    assert ConstantDetector.from_card(shipped).predict([IMAGE] * 3).tolist() == [0.5, 0.5, 0.5]
    detector = ConstantDetector.from_card(card("constant", value=0.25))
    assert detector.predict([IMAGE]).tolist() == [0.25] and detector.predict([]).shape == (0,)
    assert detector.fingerprint() != ConstantDetector(0.5).fingerprint() == ConstantDetector().fingerprint()


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        (ConstantDetector, {"value": 1.5}, "key 'value': .*less than or equal to 1, not 1.5"),
        (ConstantDetector, {"valeu": 0.5}, "unknown key 'valeu'; did you mean 'value'"),
        (RandomDetector, {"sed": 1}, "options of detector 'x': unknown key 'sed'; did you mean 'seed'"),
        (RandomDetector, {"seed": "a"}, "key 'seed': .*integer"),
    ],
)
def test_wrong_options_are_one_line(backend, options, message) -> None:
    with pytest.raises(CardError, match=message) as error:
        backend.from_card(card("x", **options))
    assert "\n" not in str(error.value)


def test_random_is_a_hash_of_seed_and_frame() -> None:
    detector = RandomDetector.from_card(card("random", seed=7))
    assert detector.seed == 7
    expected = int.from_bytes(hashlib.blake2b(b"7\0a/1", digest_size=8).digest(), "big") // 2**11 / 2**53
    assert detector.predict([IMAGE], ["a/1"])[0] == expected == pytest.approx(0.489225, abs=5e-7)
    assert RandomDetector(8).predict([IMAGE], ["a/1"])[0] != expected
    assert RandomDetector(8).fingerprint() != detector.fingerprint()


def test_random_does_not_depend_on_batch_order_or_process() -> None:
    ids = [f"Deepfakes/{i:03d}_é/0" for i in range(50)]
    detector = RandomDetector(0)
    whole = detector.predict([IMAGE] * 50, ids)
    alone = np.concatenate([detector.predict([IMAGE], [name]) for name in reversed(ids)])[::-1]
    assert np.array_equal(whole, alone)
    code = (
        "from m2f2bench.detectors.controls import uniform;"
        "print(repr([uniform(0, f'Deepfakes/{i:03d}_é/0') for i in range(50)]))"
    )
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(whole.tolist())


def test_random_is_uniform() -> None:
    from scipy.stats import kstest

    scores = RandomDetector(3).predict([IMAGE] * 4000, [str(i) for i in range(4000)])
    assert scores.min() >= 0 and scores.max() < 1
    assert kstest(scores, "uniform").pvalue > 0.01
