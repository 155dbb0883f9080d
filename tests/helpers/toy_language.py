"""A tiny Llama that learns answers about a number it is shown, for the tests and, as a script, for processes.

python tests/helpers/toy_language.py OUT '{"epochs": 2, "batch_size": 6, ...}'
python -m torch.distributed.run --nproc_per_node 2 tests/helpers/toy_language.py OUT '{"name": {"epochs": 2, ...}, ...}'
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from m2f2bench.cards.models import DetectorCard
from m2f2bench.cards.settings import StageSettings, TrainingSettings
from m2f2bench.core.records import Example, Frame, Locator
from m2f2bench.core.seeds import generator
from m2f2bench.training import loop
from m2f2bench.training.job import FitReport, LanguageData, TrainingJob
from m2f2bench.training.language import LanguageNetwork, fit_language

WORDS = 40


def frame(number: int, label: int, split: str = "train") -> Frame:
    name = f"{split}-{'fake' if label else 'real'}-{number:03d}"
    return Frame(name, name, label, "toy" if label else "original", split, (name,), Locator(name))


def examples(count: int, split: str = "train") -> list[Example]:
    """Answers of 2 to 6 tokens: that of a real frame counts up from the question's, a fake one's down."""
    made = []
    for i in range(count):
        start, length = 10 + i % 7, 2 + i % 5
        step = 1 if i % 2 == 0 else -1
        answer = " ".join(str(start + step * place) for place in range(length))
        made.append(Example(frame(i, i % 2, split), str(start), answer))
    return made


def elements(example: Example) -> tuple[list[int], list[int]]:
    """Token ids of the prompt (3, question) and of the answer (its words, 2 as the end)."""
    return [3, int(example.question)], [*map(int, example.answer.split()), 2]


class Speaker(nn.Module):
    """The frame's feature goes through a projector to the first position; the words follow."""

    def __init__(self, llm: nn.Module, width: int, most: int | None, stop: int | None) -> None:
        """More than `most` examples together do not fit into the "memory"; pass `stop` (from 0) is interrupted."""
        super().__init__()
        self.llm, self.projectors, self.most, self.stop = llm, nn.Linear(4, width), most, stop
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).requires_grad_(False)
        self.sizes: list[int] = []

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        assert not self.frozen.training
        self.sizes.append(len(batch["ids"]))
        if len(self.sizes) - 1 == self.stop:
            raise KeyboardInterrupt
        if self.most is not None and self.sizes[-1] > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        seen = self.projectors(self.frozen(batch["features"]))
        words = self.llm.get_input_embeddings()(batch["ids"])
        inputs = torch.cat([seen[:, None].to(words.dtype), words], dim=1)
        logits = self.llm(inputs_embeds=inputs, attention_mask=batch["attention"], use_cache=False).logits.float()
        losses = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"].flatten(), reduction="sum")
        return torch.stack([losses, (batch["labels"] != -100).sum().float()])

    def train_mode(self) -> None:
        self.eval()
        self.projectors.train()
        for name, module in self.llm.named_modules():
            if "lora_" in name:
                module.train()


class Collator:
    """Frames whose id ends in 013 cannot be read; answers are cut to `longest` tokens."""

    def __init__(self, longest: int = 99, broken: str = "013") -> None:
        self.left_out: dict[str, str] = {}
        self.longest, self.broken = longest, broken

    def __call__(self, some: Sequence[Example]) -> dict[str, torch.Tensor]:
        rows, features = [], []
        for example in some:
            if example.frame.id.endswith(self.broken):
                self.left_out[example.frame.id] = "drawn broken"
                continue
            prompt, answer = elements(example)
            if len(answer) > self.longest:
                self.left_out[f"{example.frame.id}: {example.question}"] = f"answer cut to {self.longest} tokens"
            rows.append((prompt, answer[: self.longest]))
            features.append(generator("feature", example.frame.id).normal(size=4) + 2 * example.frame.label)
        if not rows:
            return {}
        length = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids, attention = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length + 1)
        labels = torch.full((len(rows), length), -100)
        for i, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[i, :end] = torch.tensor([*prompt, *answer])
            attention[i, : end + 1] = 1
            labels[i, len(prompt) : end] = torch.tensor(answer)
        made = torch.tensor([list(row) for row in features], dtype=torch.float32)
        return {"ids": ids, "attention": attention.long(), "labels": labels, "features": made}


def network(
    lora: float | None = 0.2, most: int | None = None, stop: int | None = None, **collate: Any
) -> LanguageNetwork:
    """A LanguageNetwork; `lora` is the adapters' dropout, None for an LLM that is all frozen."""
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        attention_dropout=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        llm: nn.Module = LlamaForCausalLM(config).requires_grad_(False)
        for value in llm.parameters():  # wider than at a start, so that the frozen output layer can tell words apart
            if value.dim() > 1:
                value.data.normal_(std=0.3)
        if lora is not None:
            llm = get_peft_model(llm, LoraConfig(r=4, lora_alpha=8, lora_dropout=lora, target_modules="all-linear"))
        speaker = Speaker(llm, 32, most, stop)
    collator = Collator(**collate)
    return LanguageNetwork(speaker, collator, speaker.train_mode, collator.left_out, projectors="projectors.")


def toy_job(
    out: Path, *, resume: bool = False, identity: str = "toy", count: int = 32, val: int = 9, **settings: Any
) -> TrainingJob:
    values = {"epochs": 2, "batch_size": 6, "lr": 3e-3, "precision": "fp32", "warmup": 0.2, **settings}
    data = LanguageData(StageSettings.model_validate(values), examples(count), examples(val, "val"))
    card = DetectorCard(name="toy", backend="m2f2det-explainer")
    frames = [[one.frame for one in some] for some in (data.train, data.val)]

    def read(one: Frame) -> Any:
        raise AssertionError("the collator reads no pictures")

    return TrainingJob(
        card, TrainingSettings(), *frames, read, lambda labels, scores: None, out, identity, resume=resume,
        device="cpu", stage="tune", language=data,
    )  # fmt: skip


def fit(out: Path, made: dict[str, Any] | None = None, **values: Any) -> FitReport:
    """Train with one thread, so that sums have one order."""
    torch.set_num_threads(1)
    return fit_language(toy_job(out, **values), network(**(made or {})))


def why_no_fsdp() -> str:
    """Why the installed accelerate cannot shard by FSDP 2 as it is told to here; empty where it can."""
    import accelerate

    versions = Version(accelerate.__version__), Version(torch.__version__)
    if versions[0] >= Version("1.6") and versions[1] >= Version("2.6"):
        return ""
    return f"FSDP 2 takes accelerate 1.6 and torch 2.6, here are {versions[0]} and {versions[1]}"


def accelerator_on_cpus(job: TrainingJob, precision: str) -> Any:
    """What `accelerate launch` with an FSDP 2 configuration gives on GPUs; on CPUs it has to be told so afterwards."""
    from accelerate import Accelerator, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
        cpu_ram_efficient_loading=False,
    )
    made = Accelerator(cpu=True, fsdp_plugin=plugin)
    made.state._shared_state.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin)
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    return made


def main(out: Path, trainings: dict[str, Any]) -> None:
    """Run the trainings one after the other: those whose name begins with "fsdp" sharded, and those with a `stop`
    until that pass, and then on from the last checkpoint."""
    for name, values in trainings.items():
        if name.startswith("fsdp"):
            loop.make_accelerator = accelerator_on_cpus
        made = values.pop("made", {})
        if "stop" in made:
            with contextlib.suppress(KeyboardInterrupt):
                fit(out / name, made, **values)
            assert not (out / name / "fit.json").exists()
            values["resume"] = True
        fit(out / name, {**made, "stop": None}, **values)


if __name__ == "__main__":
    values = json.loads(sys.argv[2])
    if "WORLD_SIZE" in os.environ:
        main(Path(sys.argv[1]), values)
    else:
        fit(Path(sys.argv[1]), **values)
