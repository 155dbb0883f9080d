"""The parts of the audit against what is counted by hand or by plain means."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from audit_folder import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

import m2f2bench
from m2f2bench.auditing import facts, heldout, questions
from m2f2bench.auditing.duplicates import (
    APART,
    NEAR,
    SAME_VIDEO,
    SHARED,
    UNKNOWN,
    Counter,
    Kind,
    Table,
    equal_pairs,
    find,
    near_pairs,
)
from m2f2bench.auditing.facts import Facts, PixelFacts, laplacian, look, own_files, phash, residual
from m2f2bench.auditing.files import FileFacts, kind_of, read_facts
from m2f2bench.auditing.heldout import Cue, Encoder, Sample, balanced_ranks, beyond_chance, held_out_scores, shuffled
from m2f2bench.auditing.report import first_few, plural
from m2f2bench.auditing.shortcuts import probe
from m2f2bench.core.records import Frame, Locator
from m2f2bench.metrics.detection.intervals import auc_interval


def frame(name: str, video: str, label: int, split: str, people: tuple[str, ...], path: str = "") -> Frame:
    return Frame(name, video, label, "fake" if label else "original", split, people, Locator(path or name))


@given(values=st.lists(st.integers(0, 255), min_size=2, max_size=40), most=st.integers(0, 8))
def test_near_pairs_are_those_of_two_loops(values: list[int], most: int) -> None:
    hashes = np.array([value * 0x0101010101010101 & (2**64 - 1) for value in values], dtype=np.uint64)
    found = {(i, j): d for a in near_pairs(hashes, most) for i, j, d in zip(*(x.tolist() for x in a), strict=True)}
    plain = {(i, j): bin(int(hashes[i]) ^ int(hashes[j])).count("1") for i, j in combinations(range(len(values)), 2)}
    assert found == {pair: bits for pair, bits in plain.items() if bits <= most}


@given(codes=st.lists(st.integers(-1, 4), max_size=30))
def test_equal_pairs_are_those_of_two_loops(codes: list[int]) -> None:
    blocks = equal_pairs(np.array(codes, dtype=np.int64))
    found = [tuple(sorted(pair)) for a, b in blocks for pair in zip(a.tolist(), b.tolist(), strict=True)]
    plain = [(i, j) for i, j in combinations(range(len(codes)), 2) if codes[i] == codes[j] >= 0]
    assert sorted(found) == plain


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**10, 300).astype(np.uint64)
    codes = (hashes % np.uint64(7)).astype(np.int64)

    def both() -> tuple[list[list[int]], list[list[int]]]:
        near = np.hstack([np.stack(block) for block in near_pairs(hashes, 2)])
        equal = np.hstack([np.stack(block) for block in equal_pairs(codes)])
        return sorted(near.T.tolist()), sorted(equal.T.tolist())

    whole = both()
    monkeypatch.setattr("m2f2bench.auditing.duplicates.BLOCK", 1000)
    assert both() == whole and len(whole[1]) == sum(n * (n - 1) // 2 for n in np.bincount(codes).tolist())


def test_pairs_are_counted_by_what_the_frames_have_in_common() -> None:
    frames = [
        frame("a", "original/1", 0, "train", ("1",)),
        frame("b", "original/1", 0, "train", ("1",)),
        frame("c", "F/1_2", 1, "train", ("1", "2")),
        frame("d", "F/3_2", 1, "test", ("3", "2")),
        frame("e", "original/9", 0, "test", ()),
        frame("f", "original/1", 0, "test", ("1",)),
    ]
    counter = Counter(Table.of(frames), (SHARED, APART, UNKNOWN))
    first, second = (np.array(rows, dtype=np.int64) for rows in zip(*combinations(range(6), 2), strict=True))
    counter.add(first, second, first + second)
    assert counter.counts == {
        Kind(False, False, SAME_VIDEO): 1,  # ab
        Kind(False, True, SHARED): 2,  # ac bc
        Kind(True, True, APART): 2,  # ad bd
        Kind(True, False, UNKNOWN): 2,  # ae be
        Kind(True, False, SAME_VIDEO): 2,  # af bf
        Kind(True, False, SHARED): 1,  # cd
        Kind(True, True, UNKNOWN): 1,  # ce
        Kind(True, True, SHARED): 1,  # cf
        Kind(False, True, UNKNOWN): 1,  # de
        Kind(False, True, APART): 1,  # df
        Kind(False, False, UNKNOWN): 1,  # ef
    }
    assert [(p.first, p.second, p.distance) for p in counter.examples[Kind(False, True, SHARED)]] == [
        (0, 2, 2),
        (1, 2, 3),
    ]


def test_groups_join_over_blocks_and_leave_one_video_apart() -> None:
    frames = [frame(str(i), f"original/{min(i, 4)}", 0, "train", (str(i),)) for i in range(6)]
    counter = Counter(Table.of(frames), (SHARED, APART, UNKNOWN))
    for pair in ([0, 2], [1, 3], [2, 3], [4, 5]):
        counter.add(*(np.array([row], dtype=np.int64) for row in pair), np.zeros(1, dtype=np.int64))
    assert counter.groups() == [[0, 1, 2, 3]]  # 4 and 5 are of one video


def test_the_hash_of_a_wave_is_known() -> None:
    # cos((x + .5) pi k / 32) along both axes is one coefficient: here of row 2, column 3 (from 0), all others being 0.
    wave = [np.cos((np.arange(32) + 0.5) * np.pi * k / 32) for k in (3, 4)]
    grey = (128 + 40 * np.outer(*wave)).astype(np.float64)
    exact = phash(np.asarray(np.round(grey, 4), dtype=np.float32))
    assert exact >> (63 - (2 * 8 + 3)) & 1 == 1
    flipped = phash(np.asarray(np.round(256 - grey, 4), dtype=np.float32))
    assert flipped >> (63 - (2 * 8 + 3)) & 1 == 0


def test_the_hash_stays_under_saving_and_scaling_but_not_under_another_person() -> None:
    hashes = []
    for person in range(12):
        image = picture(person, 0)
        buffer = io.BytesIO()
        image.resize((56, 56)).save(buffer, "JPEG", quality=75)
        again = Image.open(buffer).convert("RGB")
        one, other = (look(np.asarray(x), "").phash for x in (image, again))
        assert bin(one ^ other).count("1") <= 6
        hashes.append(one)
    assert min(bin(a ^ b).count("1") for a, b in combinations(hashes, 2)) > 10


def test_copies_of_real_crops_are_near_and_other_people_are_not(real_data: Path) -> None:
    paths = sorted((real_data / "ddvqa/DDVQA_images/c40/test").glob("5_*.jpg"))
    facts = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        buffer = io.BytesIO()
        image.resize((112, 112)).save(buffer, "JPEG", quality=75)
        for split, picture_ in (("test", image), ("train", Image.open(buffer))):
            one = frame(f"{split}{path.stem}", path.stem + split, 0, split, (path.stem + split,))
            facts.append(Facts(one, look(np.asarray(picture_), ""), None))
    found, _ = find(facts, NEAR)
    assert found.near.counts == {Kind(True, False, APART): len(paths)} and len(paths) == 72
    assert found.near.groups() == [[row, row + 1] for row in range(0, 144, 2)]


def test_high_pass_energies_of_a_checkerboard() -> None:
    board = np.indices((10, 10)).sum(axis=0) % 2 * 2.0  # 0 and 2
    # The Laplacian is ±8; a third difference is (−1, 3, −3, 1) over 0, 2, 0, 2 = ±8: both have the variance 64.
    grey = board.astype(np.float32)
    assert laplacian(grey) == pytest.approx(np.log(64.001)) and residual(grey) == pytest.approx(np.log(64.001))
    assert laplacian(np.ones((8, 8), np.float32)) == pytest.approx(np.log(0.001))


def test_facts_come_back_from_json(tmp_path: Path) -> None:
    facts = look(np.asarray(picture(1, 0)), "abc")
    assert PixelFacts.from_json(facts.to_json()) == facts and (facts.width, facts.height) == (64, 64)
    with pytest.raises(ValueError, match="thumbnail"):
        PixelFacts.from_json([*facts.to_json()[:5], "AAAA", 0.0, 0.0])
    picture(1, 0).save(tmp_path / "a", "JPEG", quality=50, subsampling=1, progressive=True)
    file = read_facts(tmp_path / "a")
    assert FileFacts.from_json(file.to_json()) == file
    # The standard luminance table begins 16 11 10 16, and at quality 50 it is used as it stands (ITU-T T.81, K.1).
    assert file.tables is not None and len(file.tables) == 128 and file.tables[0] == 16
    assert (file.kind, file.sampling, file.progressive) == ("JPEG", "4:2:2", True)
    assert file.size == (tmp_path / "a").stat().st_size


@pytest.mark.parametrize(
    ("format", "mode", "options", "kind"),
    [
        ("PNG", "RGB", {}, "PNG RGB"),
        ("PNG", "RGBA", {}, "PNG RGBA"),
        ("PNG", "L", {}, "PNG grey"),
        ("PNG", "P", {}, "PNG palette"),
        ("BMP", "RGB", {}, "BMP"),
        ("GIF", "P", {}, "GIF"),
        ("TIFF", "RGB", {}, "TIFF"),
        ("PPM", "RGB", {}, "PNM"),
        ("WEBP", "RGB", {"lossless": True}, "WebP lossless"),
        ("WEBP", "RGB", {}, "WebP lossy"),
        ("JPEG", "L", {}, "JPEG"),
    ],
)
def test_kinds_of_files(tmp_path: Path, format: str, mode: str, options: dict[str, bool], kind: str) -> None:
    picture(0, 0).convert(mode).save(tmp_path / "misnamed.txt", format, **options)
    assert read_facts(tmp_path / "misnamed.txt").kind == kind


@given(head=st.binary(max_size=64))
def test_any_bytes_are_of_some_kind(head: bytes) -> None:
    assert kind_of(head)


def test_a_damaged_jpeg_header_is_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xd8\xff\xdb\x00\x04junk")
    assert read_facts(tmp_path / "a").kind == "JPEG"


def test_files_of_several_videos_are_containers() -> None:
    frames = [
        frame("a", "v1", 0, "test", (), "one.mp4"),
        frame("b", "v1", 0, "test", (), "one.mp4"),
        frame("c", "v2", 0, "test", (), "two.npy"),
        frame("d", "v3", 0, "test", (), "two.npy"),
        Frame("e", "v4", 0, "original", "test", (), Locator("x.h5", "k", 0)),
    ]
    assert own_files(frames) == {"one.mp4"}


def test_balanced_ranks_by_hand() -> None:
    label = np.array([0, 0, 1, 1, 1, 1])
    # Below .5 are one real of two and no fake of four; the tie at .7 counts half.
    ranks = balanced_ranks(np.array([0.1, 0.7, 0.5, 0.7, 0.8, 0.9]), label)
    expected = [(0.25 + 0) / 2, (0.75 + 1.5 / 4) / 2, (0.5 + 0.5 / 4) / 2, (0.75 + 1.5 / 4) / 2]
    assert ranks.tolist() == pytest.approx([*expected, (1 + 2.5 / 4) / 2, (1 + 3.5 / 4) / 2])
    assert balanced_ranks(np.array([0.2, 0.9]), np.array([1, 1])).tolist() == [0.5, 0.5]
    perfect = balanced_ranks(np.array([0.1, 0.2, 0.9]), np.array([0, 0, 1]))
    assert perfect[:2].max() < 0.5 < perfect[2]


@settings(max_examples=50)
@given(scores=arrays(np.float64, 12, elements=st.integers(0, 5)), fakes=st.integers(1, 11))
def test_balanced_ranks_keep_the_auc(scores: np.ndarray, fakes: int) -> None:
    label = np.array([1] * fakes + [0] * (12 - fakes))
    clusters = np.arange(12)
    before, after = (auc_interval(label, s, clusters, resamples=0)[0] for s in (scores, balanced_ranks(scores, label)))
    assert before == pytest.approx(after)


def sample(n: int, label: np.ndarray) -> Sample:
    rows = np.arange(n)
    return Sample(rows, label, rows, rows, np.zeros(n, dtype=np.int64))


def cue_of(numbers: np.ndarray) -> Cue:
    return Cue(numbers.astype(np.float64)[:, None], np.empty((len(numbers), 0), dtype=np.int64))


def test_a_cue_that_neither_rises_nor_falls_is_found() -> None:
    random = np.random.default_rng(0)
    label = np.arange(200) % 2
    values = np.where(label == 1, random.uniform(-0.3, 0.3, 200), random.choice([-1, 1], 200) * 0.8)
    given_sample = sample(200, label)
    scores = held_out_scores(cue_of(values), given_sample, 0)
    assert auc_interval(label, scores, given_sample.group, resamples=0)[0] > 0.99


def test_models_learn_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads share out small products, which takes longer and rounds differently."""
    used: list[int] = []
    scores = heldout.fold_scores

    def watched(*given: Any) -> Any:
        used.extend(one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas")
        return scores(*given)

    monkeypatch.setattr(heldout, "fold_scores", watched)
    monkeypatch.setattr(questions, "fold_scores", watched)
    label, group = [0, 1] * 20, [number // 2 for number in range(40)]
    faces = [frame(f"f{n}", f"v{n}", label[n], "test", (f"p{group[n]}",)) for n in range(40)]
    looks = [PixelFacts("", "", 64, 64, 0, b"", one.label + n % 3, 0.5 * n) for n, one in enumerate(faces)]
    seen = [Facts(one, pixels, None) for one, pixels in zip(faces, looks, strict=True)]
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        found = probe(seen, resamples=0)
        pictures = len(used)
        leak = questions.question_leaks([f"Is it {'sharp' if n % 3 else 'soft'}?" for n in range(40)], label, group)
    assert found is not None and leak.auc is not None
    assert 0 < pictures < len(used) and set(used) == {1}


def test_unequal_folds_do_not_push_a_worthless_cue_under_a_half() -> None:
    aucs = []
    for seed in range(30):
        random = np.random.default_rng(seed)
        group = np.repeat(np.arange(30), 10)
        label = (random.random(300) < np.repeat(random.uniform(0.05, 0.95, 30), 10)).astype(np.int64)
        rows = np.arange(300)
        one = Sample(rows, label, rows, group, np.zeros(300, dtype=np.int64))
        scores = held_out_scores(cue_of(random.normal(size=300)), one, seed)
        aucs.append(auc_interval(label, scores, group, resamples=0)[0])
    assert np.mean(aucs) == pytest.approx(0.5, abs=4 * np.std(aucs) / np.sqrt(30)) and np.std(aucs) < 0.08


def test_chance_is_told_from_more() -> None:
    label = np.arange(60) % 2
    noise = np.random.default_rng(5).normal(size=60)
    assert not beyond_chance(cue_of(noise), sample(60, label), 0.62, cells=10, seed=0)
    assert beyond_chance(cue_of(noise), sample(60, label), 0.95, cells=10, seed=0)


def test_shuffled_labels_stay_within_people_and_videos() -> None:
    video = np.repeat(np.arange(12), 3)
    group = np.repeat([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5], 3)
    label = np.repeat([0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1], 3)
    one = Sample(np.arange(36), label, video, group, np.zeros(36, dtype=np.int64))
    seen = set()
    for seed in range(20):
        found = shuffled(one, np.random.default_rng(seed))
        by_video = found.reshape(12, 3)
        assert (by_video == by_video[:, :1]).all()
        assert by_video[:3, 0].sum() == 2 and by_video[3:6, 0].sum() == 1
        assert by_video[6, 0] == by_video[7, 0] and by_video[8, 0] == by_video[9, 0]
        assert by_video[[6, 8, 10, 11], 0].sum() == 2
        seen.add(tuple(by_video[:, 0].tolist()))
    assert len(seen) > 5


def test_encoder_learns_from_the_training_rows_alone() -> None:
    cue = Cue(np.array([[0.0], [2.0], [100.0]]), np.array([[0], [1], [7]]))
    rows = np.array([0, 1])
    columns = Encoder().fit(cue, rows).transform(cue, np.array([2]))
    assert columns[0, 0] == 99.0 and columns[0, -2:].tolist() == [0.0, 0.0]


def test_words_and_tables() -> None:
    assert [plural(n, w) for n, w in ((1, "frame"), (2000, "pair"), (2, "identity"))] == [
        "1 frame",
        "2,000 pairs",
        "2 identities",
    ]
    assert first_few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_e2_grey_in_strips_is_grey_at_once() -> None:
    image = np.random.default_rng(1).integers(0, 256, (600, 31, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        facts._grey(image), image.astype(np.float32) @ np.asarray(facts.LUMINANCE, np.float32)
    )


@pytest.mark.parametrize("package", ["pillow", "scipy"])
def test_facts_are_of_one_version_of_what_computes_them(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = m2f2bench.load_dataset("synthetic")
    place, real = facts.memo_path(dataset.adapter, dataset.card), facts.installed_versions
    monkeypatch.setattr(facts, "installed_versions", lambda names: real(one for one in names if one != package))
    assert facts.memo_path(dataset.adapter, dataset.card) != place
