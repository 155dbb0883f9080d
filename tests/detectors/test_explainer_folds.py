"""P(fake) of training images by networks that did not learn from their people, and its scaling (Platt 1999)."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from toy_explainer import card_file, detector_folder
from toy_launch import fork
from toy_questions import FACES, Faces

import m2f2bench
from m2f2bench.cards.settings import LossSettings
from m2f2bench.core.errors import CardError, DataError, DetectorError, FrameError
from m2f2bench.core.records import FAKE, REAL, Frame, Locator
from m2f2bench.detectors.m2f2det import folds
from m2f2bench.detectors.m2f2det.detector import M2F2Detector
from m2f2bench.detectors.m2f2det.explainer import M2F2Explainer
from m2f2bench.detectors.m2f2det.folds import EVIDENCE, Evidence, platt_scaling
from m2f2bench.detectors.m2f2det.stages import FrozenDetector
from m2f2bench.runs.train import train
from m2f2bench.runs.training_plan import plan_training
from m2f2bench.training.frames import people_folds
from m2f2bench.training.job import FitReport, TrainingJob

TRAINING = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "val_fraction": 0.25, "augmentation": {"flip_p": 0.0}}


def frame(number: int, label: int, *people: str) -> Frame:
    return Frame(f"f{number:03d}", f"v{number}", label, "swap" if label else "original", "train", people, Locator(""))


PERSON = st.integers(0, 11).map(lambda one: f"p{one}")


@given(
    st.lists(st.tuples(st.sampled_from([REAL, FAKE]), st.lists(PERSON, min_size=1, max_size=2)), max_size=40),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_folds_share_no_person_and_hold_each_frame_once(rows: Any, count: int, seed: int) -> None:
    frames = [frame(number, label, *people) for number, (label, people) in enumerate(rows)]
    try:
        found = people_folds(frames, count, seed)
    except DataError as error:
        assert "folds cannot be made of" in str(error)
        return
    assert sorted(one.id for fold in found for one in fold) == [one.id for one in frames]
    people = [{person for one in fold for person in one.identities} for fold in found]
    assert sum(map(len, people)) == len(set().union(*people))
    assert all(found) and found == people_folds(frames[::-1], count, seed)


def test_folds_are_of_one_size_and_of_both_classes() -> None:
    frames = [frame(2 * one + label, label, f"p{one}") for one in range(30) for label in (REAL, FAKE)]
    for fold in people_folds(frames, 3, 0):
        assert len(fold) == 20 and sum(one.label for one in fold) == 10


@pytest.mark.parametrize("balanced", [False, True])
def test_the_scaling_is_that_of_a_logistic_regression_on_platts_targets(balanced: bool) -> None:
    """Each example stands twice, as fake with its target as weight and as real with the rest of it."""
    random = np.random.default_rng(0)
    labels = np.array([1] * 30 + [0] * 9)
    logits = random.normal(1.5 * labels - 0.3, 2.0)
    targets = np.where(labels == 1, 31 / 32, 1 / 11)
    weights = np.where(labels == 1, 1 / 30, 1 / 9) if balanced else np.ones(39)
    twice = LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000).fit(
        np.tile(logits, 2)[:, None],
        np.repeat([1, 0], 39),
        np.concatenate([weights * targets, weights * (1 - targets)]) * 39 / weights.sum(),
    )
    factor, shift = platt_scaling(logits.tolist(), labels.tolist(), balanced)
    assert factor == pytest.approx(twice.coef_[0, 0], rel=1e-4)
    assert shift == pytest.approx(twice.intercept_[0], rel=1e-4, abs=1e-5)


@given(st.lists(st.tuples(st.floats(-50, 50), st.sampled_from([REAL, FAKE])), min_size=1, max_size=20), st.booleans())
def test_the_scaling_never_turns_the_order_round(rows: Any, balanced: bool) -> None:
    factor, shift = platt_scaling([one[0] for one in rows], [one[1] for one in rows], balanced)
    assert factor >= 1e-3 and math.isfinite(shift)


def folds_card(folder: Path, count: int = 2, **explainer: Any) -> Path:
    path = card_file(folder, folds=count, **explainer)
    card = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**card, "training": TRAINING}))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage `detector` leaves of a training with two folds."""
    folder = tmp_path_factory.mktemp("folds")
    return train(str(folds_card(folder)), FACES, out=folder / "detector", device="cpu").parent


def logits_of(place: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((place / EVIDENCE).read_text())["logits"]["train"]
    return found


def options_of(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((place / "card.yaml").read_text())["options"]["explainer"]
    return found


@pytest.mark.slow
def test_each_image_is_judged_by_the_network_that_did_not_learn_from_it(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training by hand, without the frames of a fold, gives that fold's logits; a validation frame has their mean."""
    seen: list[TrainingJob] = []
    fit = M2F2Detector.__dict__["fit"].__func__

    def noted(cls: type, job: TrainingJob) -> FitReport:
        seen.append(job)
        found: FitReport = fit(cls, job)
        return found

    monkeypatch.setattr(M2F2Detector, "fit", classmethod(noted))
    card = folds_card(tmp_path / "card")
    monkeypatch.chdir(tmp_path)
    train(str(card), FACES, out="again", device="cpu")  # from the user's folder, not from the card's
    whole, *parts = seen
    assert len(parts) == 2 and logits_of(tmp_path / "again") == logits_of(trained)
    assert not (tmp_path / "again" / "folds").exists()
    expected: dict[str, float] = {}
    held: dict[str, list[float]] = {}
    for number, part in enumerate(parts):
        kept = {one.id for one in part.train}
        fold = [one for one in whole.train if one.id not in kept]
        learned = {person for one in part.train for person in one.identities}
        assert fold and not any(learned.intersection(one.identities) for one in fold)
        report = fit(M2F2Detector, replace(part, out=tmp_path / f"hand{number}", identity="hand"))
        options = {**part.card.options, **report.options}
        one = M2F2Detector.from_card(part.card.model_copy(update={"weights": str(report.weights), "options": options}))
        for names, frames in ((expected, fold), (held, part.val)):
            for frame in frames:
                score = float(one.predict([Faces().read(frame)])[0])
                logit = math.log(score / (1 - score))
                if names is held:
                    held.setdefault(frame.id, []).append(logit)
                else:
                    expected[frame.id] = logit
    expected |= {name: float(np.mean(values)) for name, values in held.items()}
    found = logits_of(trained)
    assert found.keys() == expected.keys() and len(found) == 24
    assert [found[name] for name in expected] == pytest.approx(list(expected.values()), abs=1e-5)
    labels = [(found[one.id], one.label) for one in whole.train]
    scale = platt_scaling([one[0] for one in labels], [one[1] for one in labels], True)
    assert options_of(trained)["platt"] == pytest.approx(scale)


@pytest.mark.slow
def test_p_fake_is_scaled_in_scores_and_in_what_the_llm_reads(trained: Path, tmp_path: Path) -> None:
    images = [np.full((16, 16, 3), value, np.uint8) for value in (40, 120, 220)]
    plain = tmp_path / "plain"
    shutil.copytree(trained, plain)
    card = yaml.safe_load((plain / "card.yaml").read_text())
    factor, shift = card["options"]["explainer"].pop("platt")
    (plain / "card.yaml").write_text(yaml.safe_dump(card))
    raw, one = (m2f2bench.load_detector(str(place), device="cpu") for place in (plain, trained))
    logits = [math.log(score / (1 - score)) for score in raw.predict(images)]
    wanted = [1 / (1 + math.exp(-(factor * logit + shift))) for logit in logits]
    assert one.predict(images) == pytest.approx(wanted, abs=1e-6)
    assert one.fingerprint() != raw.fingerprint()
    aligned = train(
        str(trained / "card.yaml"), FACES, stage="align", start=trained, out=tmp_path / "align", device="cpu"
    ).parent
    answering = m2f2bench.load_detector(str(aligned), device="cpu")
    assert isinstance(answering, M2F2Explainer)
    assert answering.predict(images) == pytest.approx(wanted, abs=1e-6)
    assert answering.encode(images).scores.tolist() == pytest.approx(wanted, abs=1e-6)
    assert options_of(aligned)["platt"] == [factor, shift]
    assert (aligned / EVIDENCE).read_bytes() == (trained / EVIDENCE).read_bytes()
    tuned = train(str(aligned / "card.yaml"), FACES, stage="tune", start=aligned, out=tmp_path / "tune", device="cpu")
    assert options_of(tuned.parent)["platt"] == [factor, shift]


@pytest.mark.slow
def test_align_and_tune_learn_with_the_evidence(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, float] = {}
    plain = FrozenDetector.__call__

    def noted(self: FrozenDetector, frame: Frame, read: Any) -> Any:
        found = plain(self, frame, read)
        told[frame.id] = float(found.probabilities[0, 1])
        assert float(found.probabilities.sum()) == pytest.approx(1.0)
        return found

    monkeypatch.setattr(FrozenDetector, "__call__", noted)
    aligned = train(
        str(trained / "card.yaml"), FACES, stage="align", start=trained, out=tmp_path / "align", device="cpu"
    ).parent
    factor, shift = options_of(trained)["platt"]
    known = logits_of(trained)
    for name, fake in told.items():
        assert fake == pytest.approx(1 / (1 + math.exp(-(factor * known[name] + shift))), abs=1e-6)
    assert len(told) > 12
    told.clear()
    train(str(aligned / "card.yaml"), FACES, stage="tune", start=aligned, out=tmp_path / "tune", device="cpu")
    evidence = Evidence({"train": known}, (factor, shift))
    expected = {one.id: evidence.probability(one) for one in Faces().frames("train")}
    assert len(told) > 12 and told == pytest.approx({name: expected[name] for name in told}, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["fold 1", "fold 2", "evidence"])
def test_it_is_cut_off_and_goes_on_to_the_same_evidence(
    trained: Path, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        pass

    fit, judged = folds.learn_folds, folds._judged
    calls: list[Path] = []

    def cutting(job: TrainingJob, own: Any, cls: Any, count: int) -> Any:
        def once(part: TrainingJob) -> FitReport:
            calls.append(part.out)
            if when == f"fold {len(calls)}":
                raise Cut
            found: FitReport = own(part)
            return found

        return fit(job, once, cls, count)

    def lost(*given: Any) -> Any:
        raise Cut

    card, out = folds_card(tmp_path), tmp_path / "detector"
    with monkeypatch.context() as patch:
        patch.setattr("m2f2bench.detectors.m2f2det.explainer.learn_folds", cutting)
        if when == "evidence":
            patch.setattr(folds, "_judged", lost)
        with pytest.raises(Cut):
            train(str(card), FACES, out=out, device="cpu")
    assert folds._judged is judged and not (out / EVIDENCE).exists() and not (out / "training.json").exists()
    if when != "fold 1":
        with pytest.raises(DetectorError, match="holds a training that was cut off: add --resume"):
            train(str(card), FACES, out=out, device="cpu")
    train(str(card), FACES, out=out, device="cpu", resume=True)
    assert logits_of(out) == logits_of(trained) and options_of(out)["platt"] == options_of(trained)["platt"]
    record = json.loads((out / "training.json").read_text())
    assert any("by 2 networks that did not learn from their people; scaled: " in note for note in record["notes"])


@pytest.mark.slow
def test_two_processes_write_the_evidence_of_one(trained: Path, tmp_path: Path) -> None:
    done = fork("toy_folds.py", str(folds_card(tmp_path)), str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert logits_of(tmp_path / "two") == pytest.approx(logits_of(trained), abs=1e-3)
    assert options_of(tmp_path / "two")["platt"] == pytest.approx(options_of(trained)["platt"], rel=1e-2)
    assert not (tmp_path / "two" / "folds").exists()


def test_another_evidence_is_another_training(trained: Path, tmp_path: Path) -> None:
    card, changed = str(trained / "card.yaml"), tmp_path / "changed"
    shutil.copytree(trained, changed)
    train(card, FACES, stage="align", start=trained, out=tmp_path / "align", device="cpu")
    content = json.loads((changed / EVIDENCE).read_text())
    content["logits"]["train"][next(iter(content["logits"]["train"]))] += 1.0
    (changed / EVIDENCE).write_text(json.dumps(content))
    with pytest.raises(DetectorError, match="holds a training with another card, seed, dataset or version"):
        train(card, FACES, stage="align", start=changed, out=tmp_path / "align", device="cpu", resume=True)


@pytest.mark.parametrize(("change", "same"), [({"forgery_grid": 1}, True), ({"count": 3}, False)])
def test_the_detector_does_not_depend_on_how_it_is_explained(
    trained: Path, tmp_path: Path, change: dict[str, int], same: bool
) -> None:
    place = tmp_path / "detector"
    shutil.copytree(trained, place)
    before = (place / "training.json").read_bytes()
    card = folds_card(tmp_path, **change)
    if same:
        assert train(str(card), FACES, out=place, device="cpu", resume=True).parent == place
        assert (place / "training.json").read_bytes() == before
        return
    with pytest.raises(DetectorError, match="holds a training with another card, seed, dataset or version"):
        train(str(card), FACES, out=place, device="cpu", resume=True)


@pytest.mark.slow
def test_an_unreadable_image_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2f2bench.training.frames.UNREADABLE_SHARE", 0.1)

    class Torn(Faces):
        def read(self, frame: Frame) -> Any:
            if frame.id == "train05":
                raise FrameError(frame.id, "torn")
            return super().read(frame)

    place = train(str(folds_card(tmp_path)), Torn(), out=tmp_path / "detector", device="cpu").parent
    assert set(logits_of(place)) == {f"train{one:02d}" for one in range(24)} - {"train05"}


def test_a_plan_counts_the_folds(tmp_path: Path) -> None:
    plan = plan_training(str(folds_card(tmp_path, 3)), FACES, seconds=0)
    assert "folds       3 more trainings, each without one in 3 of the frames" in str(plan)
    measured = plan_training(str(folds_card(tmp_path / "more", 3)), FACES, seconds=1)
    assert measured.seconds is not None and measured.measured is not None and measured.measured.step_seconds is not None
    alone = replace(measured, folds=0).seconds
    assert alone is not None and measured.seconds == pytest.approx(3 * alone)


def test_what_does_not_fit_is_said_in_one_line(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="folds 1 would leave no person to learn from"):
        train(str(folds_card(tmp_path / "one", 1)), FACES, out=tmp_path / "a", device="cpu")
    with pytest.raises(DataError, match=r"20 folds cannot be made of 1[0-9] groups of people"):
        train(str(folds_card(tmp_path / "many", 20)), FACES, out=tmp_path / "b", device="cpu")
    card, own = str(folds_card(tmp_path / "two")), detector_folder(tmp_path / "plain")
    with pytest.raises(DetectorError, match=r"was trained with explainer\.folds 0, but the card has 2"):
        train(card, FACES, stage="align", start=own, out=tmp_path / "c", device="cpu")
    with pytest.raises(DetectorError, match=r"was trained with explainer\.folds 2, but the card has 3"):
        train(str(folds_card(tmp_path / "x", 3)), FACES, stage="align", start=trained, out=tmp_path / "d", device="cpu")
    lost = tmp_path / "lost"
    shutil.copytree(trained, lost)
    (lost / EVIDENCE).unlink()
    with pytest.raises(DetectorError, match=r"the detector's evidence, cannot be read: .*; train it again"):
        train(card, FACES, stage="align", start=lost, out=tmp_path / "e", device="cpu")
    (lost / EVIDENCE).write_text("[]")
    with pytest.raises(DetectorError, match="is not a detector's evidence: train it again"):
        train(card, FACES, stage="align", start=lost, out=tmp_path / "e", device="cpu")
    (lost / EVIDENCE).write_text('{"logits": {"train": {}}}')
    with pytest.raises(DetectorError, match=r"knows none of the [0-9]+ images: train stage `detector` on the same"):
        train(card, FACES, stage="align", start=lost, out=tmp_path / "e", device="cpu")


def test_a_loss_of_masks_gives_way_where_there_are_none(tmp_path: Path) -> None:
    """The same weights as plain cross-entropy, and the record says so."""
    found = []
    for name, loss in (("plain", {}), ("masks", {"name": "forgery-map", "variant": "own", "masks": "optional"})):
        path = card_file(tmp_path / name)
        card = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**card, "training": {**TRAINING, "loss": loss}}))
        place = train(str(path), FACES, out=tmp_path / name / "out", device="cpu").parent
        found.append((place / "model.safetensors").read_bytes())
    assert found[0] == found[1]
    notes = json.loads((place / "training.json").read_text())["notes"]
    assert "the dataset has no masks for loss forgery-map: cross-entropy alone" in notes
    assert "masks" not in LossSettings.model_validate({"name": "forada"}).content()
