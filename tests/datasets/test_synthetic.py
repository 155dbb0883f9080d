"""The drawn dataset: determinism, splits, masks, compression, questions, contact sheet."""

from __future__ import annotations

import io
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from m2f2bench.cards.models import read_card, validate
from m2f2bench.core.errors import CardError, DataError, FrameError
from m2f2bench.core.records import Frame, Locator
from m2f2bench.datasets.sheet import contact_sheet
from m2f2bench.datasets.synthetic import faces, h264, manipulations
from m2f2bench.datasets.synthetic.adapter import SyntheticAdapter
from m2f2bench.datasets.synthetic.canvas import FIELD
from m2f2bench.datasets.synthetic.draw import SyntheticOptions, compress
from m2f2bench.datasets.synthetic.faces import Pose, draw_face, draw_scene
from m2f2bench.datasets.synthetic.render import REGIONS, region_map, render, touched

SMALL = {"train": 2, "val": 2, "test": 2, "videos_per_identity": 1, "frames_per_video": 2, "size": 96, "workers": 1}
ALL = tuple(manipulations.METHODS)
CARDS = ROOT / "datasets"


def adapter(cache: Path, **options: object) -> SyntheticAdapter:
    return SyntheticAdapter(None, SyntheticOptions.model_validate({**SMALL, "cache": str(cache), **options}))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def raw(cache: Path) -> SyntheticAdapter:
    return adapter(cache, compression="raw", methods=ALL)


def by_id(data: SyntheticAdapter, split: str = "test") -> dict[str, Frame]:
    return {frame.id: frame for frame in data.frames(split)}


def test_cold_caches_hold_the_same_bytes_whoever_draws_them(tmp_path: Path) -> None:
    contents = []
    for name, workers in (("one", 1), ("again", 1), ("two", 2)):
        data = adapter(tmp_path / name, workers=workers)
        data.read(data.frames("test")[0])
        folder = Path(data.frames("test")[0].locator.path).parent
        contents.append([(folder / file).read_bytes() for file in ("frames.npy", "masks.npy", "index.json")])
    assert contents[0] == contents[1] == contents[2]


def test_another_seed_draws_other_people(cache: Path, raw: SyntheticAdapter) -> None:
    other = adapter(cache, compression="raw", methods=ALL, seed=1)
    frame = raw.frames("test")[0]
    assert np.abs(other.read(other.frames("test")[0]).astype(int) - raw.read(frame)).mean() > 5


def test_listing_draws_nothing_and_is_the_same_every_time(tmp_path: Path) -> None:
    data = adapter(tmp_path / "never")
    assert data.frames("train") == data.frames("train")
    assert not (tmp_path / "never").exists()


def test_counts_ids_and_labels(raw: SyntheticAdapter) -> None:
    frames = raw.frames("test")
    methods = ["original", *ALL]
    assert len(frames) == 2 * len(methods) * 2 == len({frame.id for frame in frames})
    assert frames[0].id == "original/t000_0/00" and frames[3].id == "swap/t000_0/01"
    for method in methods:
        of_it = [frame for frame in frames if frame.method == method]
        assert len(of_it) == 4 and {frame.label for frame in of_it} == {0 if method == "original" else 1}
        assert all(len(frame.identities) == (2 if method in ("swap", "morph") else 1) for frame in of_it)
    assert [f.locator.index for f in frames] == list(range(len(frames)))
    assert all(
        frame.id.startswith(f"{frame.video}/") and frame.video.startswith(f"{frame.method}/") for frame in frames
    )


def test_no_identity_is_in_two_splits_even_as_a_source(raw: SyntheticAdapter) -> None:
    people = [{name for frame in raw.frames(split) for name in frame.identities} for split in raw.splits]
    assert [len(names) for names in people] == [2, 2, 2]
    assert len(set.union(*people)) == 6


def test_a_swap_never_takes_the_face_it_replaces() -> None:
    data = SyntheticAdapter(None, SyntheticOptions(test=3, videos_per_identity=7, methods=("swap", "morph")))
    two = [frame.identities for frame in data.frames("test") if frame.label == 1]
    assert two and all(target != source for target, source in two)


@pytest.mark.parametrize("method", ALL)
def test_a_forgery_alters_exactly_its_mask_before_noise(method: str) -> None:
    face, source = draw_face(0, "t000"), draw_face(0, "t001")
    scene = draw_scene(0, "t000_0", 96, 1)
    drawn = render(face, scene, scene.poses[0])
    case = manipulations.Case(drawn, face, source, scene, scene.poses[0], 0.5, 0, "t000_0")
    image, mask = manipulations.forge(method, case)
    differs = (image != drawn.image).any(-1)
    assert np.array_equal(differs, mask)
    assert 0.01 < mask.mean() < 0.6
    assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1
    assert np.abs(image - drawn.image)[mask].mean() > 0.5 / 255


@pytest.mark.parametrize("method", ALL)
def test_noise_is_the_reals_own_so_that_nothing_outside_the_mask_tells(raw: SyntheticAdapter, method: str) -> None:
    frames = by_id(raw)
    for clip in ("t000_0/00", "t001_0/01"):
        real, fake = frames[f"original/{clip}"], frames[f"{method}/{clip}"]
        mask = raw.mask(fake)
        assert not raw.mask(real).any() and mask.any()
        changed = (raw.read(real) != raw.read(fake)).any(-1)
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.3


def test_easier_videos_are_altered_more() -> None:
    face, source = draw_face(0, "t000"), draw_face(0, "t001")
    scene = draw_scene(0, "t000_0", 96, 1)
    drawn = render(face, scene, scene.poses[0])
    for method in ALL:
        amount = []
        for strength in (0.0, 1.0):
            case = manipulations.Case(drawn, face, source, scene, scene.poses[0], strength, 0, "t000_0")
            amount.append(np.abs(manipulations.forge(method, case)[0] - drawn.image).sum())
        assert amount[1] > amount[0], method


def test_compression_is_real_h264_and_c40_loses_more(cache: Path, raw: SyntheticAdapter) -> None:
    frames = raw.frames("test")[:4]
    loss = {}
    for level in ("c23", "c40"):
        data = adapter(cache, compression=level, methods=ALL)
        errors = [np.square(data.read(f).astype(float) - raw.read(f)).mean() for f in frames]
        loss[level] = 10 * np.log10(255**2 / np.mean(errors))
    assert 25 < loss["c40"] + 3 < loss["c23"] < 50


def test_the_stream_names_its_codec_and_rate_factor(raw: SyntheticAdapter) -> None:
    import av

    pixels = [raw.read(frame) for frame in raw.frames("test")[:2]]
    sizes = []
    for crf in (23, 40):
        stream = h264.encode(pixels, crf)
        assert stream.startswith(b"\x00\x00\x00\x01") and f"crf={crf}.0".encode() in stream
        with av.open(io.BytesIO(stream), format="h264") as opened:
            assert opened.streams.video[0].codec_context.name == "h264"
            assert sum(1 for _ in opened.decode(video=0)) == 2
        assert [frame.shape for frame in h264.decode(stream)] == [(96, 96, 3)] * 2
        sizes.append(len(stream))
    assert sizes[1] < sizes[0]


def test_the_same_reals_stand_beside_other_forgeries(cache: Path) -> None:
    seen, unseen = adapter(cache), adapter(cache, methods=("morph", "upsampling"))
    for frame in (f for f in unseen.frames("test") if f.method == "original"):
        assert np.array_equal(unseen.read(frame), seen.read(by_id(seen)[frame.id]))


def test_frames_of_a_video_move(raw: SyntheticAdapter) -> None:
    frames = by_id(raw)
    first, second = (raw.read(frames[f"original/t000_0/{n}"]).astype(int) for n in ("00", "01"))
    assert np.abs(first - second).mean() > 0.5


def test_regions_lie_where_the_face_has_them() -> None:
    face, scene = draw_face(0, "t000"), draw_scene(0, "t000_0", 160, 1)
    drawn = render(face, scene, Pose(0, 0, 1, 0, 0, 0, (0, 0), 0, 0, 0, 0))
    for region, u, v in (
        ("mouth", 0.0, face.mouth_y),
        ("nose", 0.0, face.nose_tip - 0.1),
        ("eyes", face.eye_x, face.eye_y),
    ):
        row, column = (round(160 / 2 * (1 + x / FIELD)) for x in (v - 0.12, u))
        inside = {name: region_map(face, drawn, name)[row, column] for name in REGIONS[1:]}
        assert inside[region] and not inside["skin"], region


def test_touched_regions_follow_the_shares() -> None:
    shares = {"skin": 0.11, "eyes": 0.34, "eyebrows": 0.0, "nose": 1.0, "mouth": 0.35}
    assert touched(shares) == ("image", "skin", "nose", "mouth")
    assert touched({**shares, "skin": 0.09, "nose": 0.2}) == ("image", "mouth")


def test_blind_questions_are_neutral_and_their_references_true(raw: SyntheticAdapter) -> None:
    questions = raw.questions("test", "blind")
    videos = {frame.video for frame in raw.frames("test")}
    assert len(questions) == 6 * len(videos) == len({q.id for q in questions})
    assert {q.frame for q in questions} == {f"{name}/01" for name in videos}
    texts: dict[str, set[str]] = {}
    for q in questions:
        texts.setdefault(q.region, set()).add(q.text)
        assert 2 <= len(q.references) <= 3 and len(set(q.references)) == len(q.references)
        for answer in q.references:
            said = re.findall(r"\b(real|fake)\b", answer)
            assert said == ["fake" if q.label else "real"], answer
            assert "{" not in answer and answer.endswith(".")
    assert texts["eyes"] == {"Do the person's eyes look real/fake?"}
    assert all(len(different) == 1 for different in texts.values()) and set(texts) == set(REGIONS)
    assert all(q.label == 0 for q in questions if q.frame.startswith("original/"))
    assert all(q.label == 1 for q in questions if q.region == "image" and not q.frame.startswith("original/"))


def test_an_untouched_region_of_a_fake_face_is_answered_real(raw: SyntheticAdapter) -> None:
    labels = {(q.frame.split("/")[0], q.region): q.label for q in raw.questions("test") if "t000_0" in q.frame}
    assert labels["swap", "eyes"] == labels["swap", "mouth"] == labels["expression", "mouth"] == 1
    assert labels["expression", "eyes"] == labels["expression", "nose"] == 0


def test_released_questions_state_the_label(raw: SyntheticAdapter) -> None:
    for q in raw.questions("test", "released"):
        assert re.findall(r"\b(real|fake)\b", q.text) == ["fake" if q.label else "real"]
        assert q.kind == "released" and not re.search(r"\b(real|fake)\b", " ".join(q.references))


def test_questions_need_no_textures(raw: SyntheticAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of skin and hair take most of the time in which a face is drawn, and no question is about them."""
    asked = raw.questions("test", "blind"), raw.questions("test", "released")  # all faces are drawn by now
    faces.draw_face.cache_clear()
    faces.draw_features.cache_clear()
    monkeypatch.setattr(faces, "_textures", lambda *given: pytest.fail("textures are drawn"))
    assert (raw.questions("test", "blind"), raw.questions("test", "released")) == asked


def test_a_person_is_described_by_the_face_that_was_drawn() -> None:
    from m2f2bench.datasets.synthetic.questions import traits

    for number in range(12):
        face = draw_face(0, f"t{number:03d}")
        assert ("thick eyebrows" in traits(face, "eyebrows")) == (face.brow_thick > 0.05)
        assert ("glasses" in traits(face, "image")) == face.glasses


def test_mistakes_are_one_line_with_the_mend(cache: Path, tmp_path: Path) -> None:
    data = adapter(cache)
    for call, words in (
        (lambda: data.frames("tset"), "did you mean 'test'"),
        (lambda: data.questions("test", "blnd"), "did you mean 'blind'"),
        (lambda: data.questions("vall"), "did you mean 'val'"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(CardError, match="did you mean 'swap'"):
        validate(SyntheticOptions, {"methods": ["swop"]}, "options")
    with pytest.raises(CardError, match="named twice"):
        validate(SyntheticOptions, {"methods": ["swap", "swap"]}, "options")
    with pytest.raises(FrameError, match="not in the synthetic dataset"):
        data.read(Frame("x", "x", 0, "original", "test", (), Locator("", index=10**6)))
    (tmp_path / "file").write_text("in the way")
    blocked = adapter(tmp_path / "file")
    with pytest.raises(DataError, match="M2F2BENCH_CACHE"):
        blocked.read(blocked.frames("test")[0])


def test_the_cards_say_what_the_adapter_takes() -> None:
    methods = {}
    for name in ("synthetic", "synthetic-c40", "synthetic-unseen"):
        card = read_card("datasets", CARDS / f"{name}.yaml")
        methods[name] = validate(SyntheticOptions, card.options, name).methods  # type: ignore[attr-defined]
    assert methods["synthetic"] == methods["synthetic-c40"]
    assert not set(methods["synthetic"]) & set(methods["synthetic-unseen"])
    assert set(methods["synthetic"]) | set(methods["synthetic-unseen"]) == set(ALL)


def test_pickled_adapter_reads_the_same(raw: SyntheticAdapter) -> None:
    frame = raw.frames("test")[5]
    expected = raw.read(frame)
    data = pickle.dumps(raw)
    assert len(data) < 5000
    assert np.array_equal(pickle.loads(data).read(frame), expected)


def test_torch_and_av_stay_out() -> None:
    package = "m2f2bench.datasets.synthetic"
    code = f"import sys, {package}.adapter, m2f2bench.datasets.sheet\nassert not {{'torch', 'av'}} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CARDS.parent, check=False).returncode == 0


def test_contact_sheet(raw: SyntheticAdapter, tmp_path: Path) -> None:
    path = contact_sheet(raw, "test", tmp_path / "sheet.png", per_method=2, side=96, masks=True)
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    bands = 1 + 2 * len(ALL)
    assert pixels.shape[0] == 96 * bands and pixels.shape[1] > 2 * 96
    first_real = pixels[:96, -192:-96]
    assert np.array_equal(first_real, raw.read(by_id(raw)["original/t000_0/01"]))
    yellow = (pixels[..., 0] > 240) & (pixels[..., 1] > 200) & (pixels[..., 2] < 60)
    assert all(yellow[96 * b : 96 * b + 96, -192:].any() for b in range(2, bands, 2))
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match="must end in"):
        contact_sheet(raw, "test", tmp_path / "sheet.txt")


def test_the_encoder_does_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    """At 160 pixels x264's assembly gives streams that differ from run to run; it is switched off."""
    drawn = adapter(tmp_path, size=160, frames_per_video=3, methods=("swap",), compression="raw")
    frames = [drawn.read(frame) for frame in drawn.frames("test")[:3]]
    rng = np.random.default_rng(1)
    litter: list[np.ndarray] = []

    def scramble() -> None:
        sizes = rng.integers(5_000, 300_000, 40)
        litter.extend(rng.integers(0, 255, size, dtype=np.uint8) for size in sizes)
        while len(litter) > 60:
            litter.pop(int(rng.integers(len(litter))))

    streams = set()
    for _ in range(25):
        scramble()
        streams.add(h264.encode(frames, 23))
    assert len(streams) == 1
    assert np.array_equal(h264.decode(streams.pop())[0], compress(frames, "c23")[1][0])
