"""The loop of stages that learn to answer: its loss, exact resume after a kill, short memory, honest refusals."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from paths import HELPERS, ROOT
from toy_language import Collator, elements, examples, fit, network, toy_job

from m2f2bench.cards.settings import StageSettings
from m2f2bench.core.errors import DataError, DetectorError, NothingJudged
from m2f2bench.core.tensors import read_tensors
from m2f2bench.training.job import latest_checkpoint
from m2f2bench.training.language import Plan, fit_language

SCRIPT = HELPERS / "toy_language.py"
LONG = {"epochs": 20, "checkpoint_steps": 7, "validate_steps": 50}


def by_hand(module: torch.nn.Module, some: list) -> tuple[float, int]:
    """Sum of -log p of the answers' tokens, one example after the other, and how many there are."""
    loss, tokens = 0.0, 0
    with torch.no_grad():
        for example in some:
            prompt, answer = elements(example)
            feature = Collator(broken="never")([example])["features"]
            words = module.llm.get_input_embeddings()(torch.tensor([[*prompt, *answer]]))
            inputs = torch.cat([module.projectors(module.frozen(feature))[:, None], words], dim=1)
            logits = module.llm(inputs_embeds=inputs).logits[0]
            for place, token in enumerate(answer):  # position 0 is the image's
                loss -= float(logits[len(prompt) + place].log_softmax(-1)[token])
                tokens += 1
    return loss, tokens


def test_the_losses_are_those_computed_by_hand(tmp_path: Path) -> None:
    made = network(lora=None)
    before = by_hand(made.module.eval(), examples(9, "val"))
    first = by_hand(made.module, [one for one in examples(20) if not one.frame.id.endswith("013")])
    job = toy_job(tmp_path, count=20, batch_size=20, max_steps=1, accumulation=3)
    report = fit_language(job, made)
    assert [row["step"] for row in report.curves] == [0, 1]
    assert report.curves[0]["val_loss"] == pytest.approx(before[0] / before[1], rel=1e-5)
    assert report.curves[1]["train_loss"] == pytest.approx(first[0] / first[1], rel=1e-5)
    assert report.curves[1]["tokens"] == first[1]
    after = by_hand(made.module.eval(), examples(9, "val"))
    assert report.curves[1]["val_loss"] == pytest.approx(after[0] / after[1], rel=1e-5)
    assert after[0] < before[0]


@pytest.mark.slow
def test_killed_and_resumed_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", **LONG)
    out = tmp_path / "killed"
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HELPERS)]),
    }
    environment.pop("WORLD_SIZE", None)
    with subprocess.Popen([sys.executable, str(SCRIPT), str(out), json.dumps(LONG)], env=environment) as process:
        try:
            deadline = time.monotonic() + 120
            while not any(int(p.name[5:]) >= 28 for p in (out / "checkpoints").glob("step-*")):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(0.043)
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (out / "fit.json").exists(), "it was over before the kill: nothing is tested"
    again = fit(out, resume=True, **LONG)
    assert again.curves == whole.curves and again.notes == whole.notes
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    assert not (out / "checkpoints").exists()


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    report = fit(tmp_path, {"lora": 0.0}, epochs=20, lr=3e-2)
    assert report.curves[-1]["val_loss"] < 1.5 < 3 < report.curves[0]["val_loss"]


@pytest.mark.slow
def test_every_interruption_is_made_good(tmp_path: Path) -> None:
    """Interrupted in a step, in a validation between steps, and in the last validation."""
    values = {"max_steps": 8, "checkpoint_steps": 3, "validate_steps": 4, "accumulation": 2}
    whole = fit(tmp_path / "whole", **values)
    for stop in (2, 12, 26):
        out = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            fit(out, {"stop": stop}, **values)
        again = fit(out, resume=True, **values)
        assert again.curves == whole.curves
        assert again.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.slow
def test_dropout_is_on_in_adapters_and_nowhere_else(tmp_path: Path) -> None:
    still, shaken = (fit(tmp_path / str(p), {"lora": p}, max_steps=3) for p in (0.0, 0.5))
    again = fit(tmp_path / "again", {"lora": 0.0}, max_steps=3)
    assert still.curves[1]["train_loss"] == pytest.approx(shaken.curves[1]["train_loss"])  # B is 0 at the start
    assert still.curves[3] != shaken.curves[3]
    assert still.weights.read_bytes() == again.weights.read_bytes()


def test_only_what_is_to_be_trained_changes(tmp_path: Path) -> None:
    made = network()
    before = {name: value.clone() for name, value in made.module.state_dict().items()}
    trained = {name for name, value in made.module.named_parameters() if value.requires_grad}
    report = fit_language(toy_job(tmp_path), made)
    changed = {name for name, value in made.module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == trained == set(read_tensors(report.weights)[0])
    assert not any(module.training for module in made.module.frozen.modules())
    assert {name.split(".")[0] for name in trained} == {"llm", "projectors"}


def test_projectors_have_their_own_rate(tmp_path: Path) -> None:
    """The first step of Adam is as long as its learning rate, in each coordinate."""
    made = network(lora=0.0)
    before = {name: value.detach().clone() for name, value in made.module.named_parameters()}
    fit_language(toy_job(tmp_path, max_steps=1, warmup=0.0, lr=1e-4, projector_lr=1e-2, clip_grad_norm=None), made)
    for name, value in made.module.named_parameters():
        if value.requires_grad and "lora_A" not in name:  # their gradient is 0 as long as B is
            expected = 1e-2 if name.startswith("projectors.") else 1e-4
            assert float((value.detach() - before[name]).abs().max()) == pytest.approx(expected, rel=1e-2)


@pytest.mark.slow
def test_parts_change_nothing_but_rounding(tmp_path: Path) -> None:
    one, parts = (fit(tmp_path / str(n), {"lora": 0.0}, accumulation=n) for n in (1, 4))
    for a, b in zip(one.curves, parts.curves, strict=True):
        assert list(b.values()) == pytest.approx(list(a.values()), abs=1e-5)
    mine, theirs = read_tensors(one.weights)[0], read_tensors(parts.weights)[0]
    torch.testing.assert_close(theirs, mine, atol=1e-4, rtol=1e-3)


def test_an_epoch_has_every_example_once() -> None:
    plan = Plan(StageSettings(batch_size=6, epochs=2.5), 32)
    assert (plan.per_epoch, plan.total) == (6, 15)
    epochs = [[number for step in range(e * 6, e * 6 + 6) for number in plan.batch(step)] for e in (0, 1)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(32))] * 2
    assert epochs[0] != epochs[1] and epochs[0] != list(range(32))
    assert len(plan.batch(5)) == 2
    assert [Plan(StageSettings(batch_size=6, epochs=e), 32).total for e in (0.1, 1 / 6, 0.34)] == [1, 1, 3]
    assert Plan(StageSettings(batch_size=6, epochs=9, max_steps=7), 32).total == 7
    assert Plan(StageSettings(batch_size=6, epochs=2.5), 4).total == 3
    other = Plan(StageSettings(batch_size=6, epochs=2.5, seed=1), 32)
    assert other.batch(0) != plan.batch(0)


def test_batches_are_of_like_lengths() -> None:
    lengths = tuple(int(n) for n in np.random.default_rng(0).integers(10, 300, 203))

    def padded(group: bool) -> tuple[int, list[int]]:
        plan = Plan(StageSettings(batch_size=8, group_by_length=group), len(lengths), lengths)
        batches = [plan.batch(step) for step in range(plan.per_epoch)]
        assert [len(batch) for batch in batches] == [8] * 25 + [3]
        return sum(max(lengths[i] for i in b) * len(b) for b in batches), [i for b in batches for i in b]

    (grouped, order), (mixed, _) = padded(True), padded(False)
    assert sorted(order) == list(range(203)) and order != sorted(order, key=lambda i: lengths[i])
    assert grouped < 1.1 * sum(lengths) < 1.5 * sum(lengths) < mixed


@pytest.mark.slow
def test_rows_and_rates(tmp_path: Path) -> None:
    report = fit(tmp_path / "a", epochs=2.5, validate_steps=4, warmup=0.2, lr=1e-3)
    assert [row["step"] for row in report.curves] == list(range(16))
    assert [row["step"] for row in report.curves if "val_loss" in row] == [0, 4, 8, 12, 15]
    assert [row["lr"] for row in report.curves[1:5]] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])
    assert report.curves[6]["epoch"] == 1.0 and report.curves[15]["epoch"] == 2.5
    first, last = (report.curves[i]["val_loss"] for i in (0, -1))
    assert f"validation loss {first:.4f} before the first, {last:.4f} after the last" in report.notes[0]
    none = fit(tmp_path / "b", {"lora": None}, count=4, epochs=202, batch_size=4, val_examples=0)
    assert [row["step"] for row in none.curves[:3]] == [2, 4, 6] and len(none.curves) == 101
    assert "no validation loss" in none.notes[0] and not any("val_loss" in row for row in none.curves)


@pytest.mark.slow
def test_short_memory_halves_the_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "m2f2bench"):
        short = fit(tmp_path / "short", {"most": 2}, val_examples=0, max_steps=4)
    assert [record.message.split("; ")[1] for record in caplog.records] == [
        "from now on a batch is split into 2 parts",
        "from now on a batch is split into 4 parts",
    ]
    assert any("batches in 4 parts, not 1" in note for note in short.notes)
    parts = fit(tmp_path / "parts", accumulation=4, val_examples=0, max_steps=4)
    assert short.curves == parts.curves
    assert short.weights.read_bytes() == parts.weights.read_bytes()
    validated = fit(tmp_path / "validated", {"most": 2}, max_steps=1)  # in the validation before the first step
    assert any("batches in 4 parts, not 1" in note for note in validated.notes)
    with pytest.raises(DetectorError, match="does not hold a single example: set `gradient_checkpointing`") as error:
        fit(tmp_path / "none", {"most": 0}, val_examples=0)
    assert "\n" not in str(error.value)


def test_memory_short_in_the_middle_and_a_resume(tmp_path: Path) -> None:
    """How many parts there are is in the checkpoint: dropout's draws hang on it."""
    values = {"max_steps": 8, "checkpoint_steps": 2, "val_examples": 0}
    whole = fit(tmp_path / "whole", {"most": 4}, **values)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut", {"most": 4, "stop": 12}, **values)
    assert latest_checkpoint(tmp_path / "cut") is not None
    again = fit(tmp_path / "cut", resume=True, **values)  # with more memory
    assert again.weights.read_bytes() == whole.weights.read_bytes() and again.notes == whole.notes


def test_what_cannot_be_learned_from_is_counted(tmp_path: Path) -> None:
    report = fit(tmp_path / "one", {"longest": 5}, batch_size=1, epochs=1)  # a batch with nothing in it passes
    assert report.notes[1] == "1 unreadable frames left out of training, first 'train-fake-013': drawn broken"
    there = [one for one in [*examples(32), *examples(9, "val")] if one.frame.id != "train-fake-013"]
    cut = sum(len(elements(one)[1]) > 5 for one in there)
    assert report.notes[2].startswith(f"{cut} questions left out or their answers cut, first 'train-")
    empty = [row for row in report.curves if row["step"] > 0 and "train_loss" not in row]
    assert len(empty) == 1 and empty[0]["tokens"] == 0
    with pytest.raises(DataError, match=r"of 41 training and validation frames cannot be read, first .*: drawn"):
        fit(tmp_path / "two", {"broken": "3"})


def test_a_validation_of_which_nothing_can_be_judged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingJudged, match=r"none of 1 questions.*'val-real-000' \(drawn broken\)"):
        fit(tmp_path, {"broken": "val-real-000"}, val=1, count=64)
    assert not list(tmp_path.glob("*.safetensors"))


def test_divergence_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"is (nan|inf).*lower `lr`") as error:
        fit(tmp_path, lr=1e30, warmup=0, clip_grad_norm=None, epochs=3)
    assert "\n" not in str(error.value)


def test_precision(tmp_path: Path) -> None:
    full, half = (fit(tmp_path / p, {"lora": 0.0}, precision=p, max_steps=4) for p in ("fp32", "bf16"))
    assert half.curves[0] == full.curves[0]  # judged as without a training
    assert half.curves[2]["train_loss"] != full.curves[2]["train_loss"]
    assert half.curves[2]["train_loss"] == pytest.approx(full.curves[2]["train_loss"], abs=0.05)
    assert {value.dtype for value in read_tensors(half.weights)[0].values()} == {torch.float32}
    with pytest.raises(DetectorError, match="precision fp16 cannot be used on cpu"):
        fit(tmp_path / "fp16", precision="fp16")
    made = network()
    made.module.projectors.bfloat16()
    with pytest.raises(DetectorError, match=r"'projectors.weight' is to be trained and is bfloat16") as error:
        fit_language(toy_job(tmp_path / "half"), made)
    assert "\n" not in str(error.value)
    made.module.requires_grad_(False)
    with pytest.raises(DetectorError, match="no weights to train"):
        fit_language(toy_job(tmp_path / "frozen"), made)


def test_a_folder_holds_one_training(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, {"stop": 5}, checkpoint_steps=1, val_examples=0)
    with pytest.raises(DetectorError, match="was cut off: add --resume"):
        fit(tmp_path)
    with pytest.raises(DetectorError, match="belongs to another training"):
        fit(tmp_path, resume=True, identity="other")
    with pytest.raises(DetectorError, match=r"of another network: it has 'llm.*\(0 tensors missing, 28 unexpected\)"):
        fit(tmp_path, {"lora": None}, resume=True)
    report = fit(tmp_path, resume=True, checkpoint_steps=1, val_examples=0)
    with pytest.raises(DetectorError, match="already holds a finished training"):
        fit(tmp_path)
    assert fit(tmp_path, resume=True) == report


def test_what_a_backend_writes_and_says(tmp_path: Path) -> None:
    written = {}

    def write(out: Path, tensors: dict[str, torch.Tensor]) -> None:
        written.update(tensors)
        (out / "model.safetensors").write_bytes(b"own")

    made = network(lora=None)
    report = fit_language(
        toy_job(tmp_path, max_steps=1), replace(made, write=write, options={"a": 1}, notes=["its own"])
    )
    assert set(written) == {"projectors.weight", "projectors.bias"}
    assert torch.equal(written["projectors.weight"], made.module.projectors.weight)
    assert report.options == {"a": 1} and report.notes[-1] == "its own" and report.val_auc is None
