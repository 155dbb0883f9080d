"""D5: files of weights as others have them: wrapped, with two outputs, damaged, of another kind, or made to harm."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from m2f2bench.cards.models import DetectorCard
from m2f2bench.core.errors import DetectorError, M2F2BenchError
from m2f2bench.detectors.llm.source import LanguageSource, open_language
from m2f2bench.detectors.timm import TimmDetector, TimmSource, pretrained_classifier
from m2f2bench.detectors.weights.load import load_weights, open_weights
from m2f2bench.detectors.weights.pickled import LARGEST_PICKLE, open_pickled
from m2f2bench.detectors.weights.weight_files import LARGEST_HEADER, is_pointer

Tensors = dict[str, torch.Tensor]
MODEL = "test_resnet"
IMAGES = [np.random.default_rng(i).integers(0, 256, (64, 64, 3)).astype(np.uint8) for i in range(3)]
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def network(classes: int = 1, seed: int = 0) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = timm.create_model(MODEL, num_classes=classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.fill_(0.5)
    return model.eval()


def card(weights: Path, **options: Any) -> DetectorCard:
    return DetectorCard(name="toy", backend="timm", weights=str(weights), options={"model": MODEL, **options})


def scores(weights: Path, **options: Any) -> np.ndarray:
    return TimmDetector.from_card(card(weights, **options), "cpu").predict(IMAGES)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.safetensors"
    save_file(network().state_dict(), path)
    return path


def prefixed(prefix: str) -> Tensors:
    return {prefix + name: value.clone() for name, value in network().state_dict().items()}


WRAPPINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: prefixed(""),
    "module.": lambda: prefixed("module."),
    "_orig_mod.": lambda: prefixed("_orig_mod."),
    "module._orig_mod.": lambda: prefixed("module._orig_mod."),
    "_orig_mod.module.": lambda: prefixed("_orig_mod.module."),
    "Lightning": lambda: {"state_dict": prefixed("model."), "epoch": 3, "args": argparse.Namespace(lr=1.0)},
    "DeepfakeBench": lambda: prefixed("backbone."),
    "state_dict": lambda: {"state_dict": prefixed(""), "optimizer": {"state": {(0, "a"): 1}}},
    "model_state_dict": lambda: {"epoch": 2, "model_state_dict": prefixed("")},
    "model": lambda: {"model": prefixed("module.")},
    "net": lambda: {"net": prefixed("")},
    "two": lambda: {"model": {"state_dict": prefixed("net.")}},
    "ema first": lambda: {"state_dict_ema": {"a": torch.ones(1)}, "state_dict": prefixed("")},
    "half": lambda: {k: v.half() if v.is_floating_point() else v for k, v in prefixed("").items()},
}


@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_d5_a_good_checkpoint_is_read_however_it_is_wrapped(
    tmp_path: Path, plain: Path, name: str, zipped: bool
) -> None:
    path = tmp_path / "x.pth"
    torch.save(WRAPPINGS[name](), path, _use_new_zipfile_serialization=zipped)
    # As the weights of a card, and as where a training starts.
    assert scores(path) == pytest.approx(scores(plain), abs=1e-3 if name == "half" else 1e-9)
    started = pretrained_classifier(TimmSource(model=MODEL, pretrained=str(path)), tmp_path).state_dict()
    own = network().state_dict()
    assert torch.allclose(started["layer4.0.conv1.weight"], own["layer4.0.conv1.weight"], atol=1e-2)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "backbone."])
def test_d5_safetensors_are_unwrapped_alike(tmp_path: Path, plain: Path, prefix: str) -> None:
    path = tmp_path / "x.bin"  # what a file is shows in its content
    save_file(prefixed(prefix), path)
    assert np.array_equal(scores(path), scores(plain))


def test_d5_a_prefix_that_is_not_known_is_named(tmp_path: Path) -> None:
    torch.save(prefixed("student."), tmp_path / "x.pth")
    with pytest.raises(DetectorError, match=r"another model\? All its names begin with 'student\.': save only"):
        scores(tmp_path / "x.pth")


def test_d5_two_outputs_are_one_once_it_is_said_which_is_fake(tmp_path: Path) -> None:
    model, path = network(classes=2), tmp_path / "x.pth"
    torch.save(model.state_dict(), path)
    with pytest.raises(DetectorError, match="two outputs, and it is unknown which is fake: set `fake_class: 1`"):
        scores(path)
    one = scores(path, fake_class=1)
    assert scores(path, fake_class=0) == pytest.approx(1 - one, abs=1e-6)
    detector = TimmDetector.from_card(card(path, fake_class=1), "cpu")
    with torch.inference_mode():
        pixels = detector.normalise(torch.from_numpy(np.stack([detector.prepare(image) for image in IMAGES])))
        expected = model(pixels).double().softmax(1)[:, 1].numpy()
    assert one == pytest.approx(expected, abs=1e-6) and np.ptp(one) > 1e-4
    torch.save(network(classes=10).state_dict(), path)
    with pytest.raises(DetectorError, match="have 10 outputs, but a detector has one or two"):
        scores(path, fake_class=1)


def test_d5_one_output_that_is_real_is_turned_round(plain: Path) -> None:
    assert scores(plain, fake_class=0) == pytest.approx(1 - scores(plain), abs=1e-9)
    assert np.array_equal(scores(plain, fake_class=1), scores(plain))
    # A card that does not say it has the fingerprint that it always had.
    known = TimmDetector.from_card(card(plain), "cpu").fingerprint()
    assert known != TimmDetector.from_card(card(plain, fake_class=0), "cpu").fingerprint()


def test_d5_a_file_of_weights_as_a_detector_says_what_to_do(cli, one_line, squares: Path, plain: Path) -> None:
    for suffix in (".pth", ".pt", ".safetensors", ".bin"):
        file = squares.parent / f"my model{suffix}"
        file.write_bytes(plain.read_bytes())
        line = one_line(cli("run", "-d", file, "-s", squares, "--out", squares.parent / "o"))
        assert "is a file of weights, not a detector's card: say whose network it is for with --as DETECTOR" in line
        assert "or write a card next to it (name: my-model, backend:" in line


def _zip(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _pickled(path: Path, code: bytes) -> None:
    """A checkpoint whose pickle is made by hand."""
    _zip(path, {"archive/data.pkl": b"\x80\x02" + code + b".", "archive/version": b"3\n"})


def _laughs(opcode: bytes) -> bytes:
    """A tuple of two of a tuple of two, ... 60 times, as a shape or a key: 2^60 long when written out."""
    return b")" + b"2\x86" * 60 + opcode


def _deflated(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
        archive.writestr("archive/byteorder", b"\0" * 300_000_000, compresslevel=1)


def _header(length: int) -> bytes:
    return struct.pack("<Q", length) + b"{" + b" " * 200


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n("
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ\x00\x00\x00\x7ftQ"
HOSTILE: dict[str, Callable[[Path], object]] = {
    "not there": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "a fifo": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("weights to follow\n" * 9),
    "a web page": lambda path: path.write_text("\n<!DOCTYPE html><html><body>Sign in</body></html>"),
    "a pointer": lambda path: path.write_bytes(LFS),
    "gguf": lambda path: path.write_bytes(b"GGUF" + b"\xff" * 60),
    "keras": lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(60)),
    "gzip": lambda path: path.write_bytes(b"\x1f\x8b" + bytes(60)),
    "zeros": lambda path: path.write_bytes(bytes(10_000)),
    "noise": lambda path: path.write_bytes(random.Random(0).randbytes(10_000)),
    "zip": lambda path: _zip(path, {"readme": b"hello"}),
    "npz": lambda path: np.savez(path.open("wb"), a=np.ones(3)),
    "script": lambda path: _zip(path, {"a/data.pkl": b"\x80\x02N.", "a/code/x.py": b"import os"}),
    "a bomb": _deflated,
    "a long pickle": lambda path: _zip(path, {"a/data.pkl": b"\x80\x02" + b"N0" * LARGEST_PICKLE}),
    "memory for a number": lambda path: _pickled(path, b"Nr\xff\xff\xff\xff"),
    "memory for bytes": lambda path: _pickled(path, b"\x96" + struct.pack("<Q", 1 << 36)),
    "memory for text": lambda path: _pickled(path, b"\x8d" + struct.pack("<Q", 1 << 36)),
    "a deep key": lambda path: _pickled(path, b"})" + b"\x85" * 300_000 + b"Ns"),
    "a deep set": lambda path: _pickled(path, b"\x8f()" + b"\x85" * 300_000 + b"\x90"),
    "deep lists": lambda path: _pickled(path, b"]" * 300_000 + b"a" * 299_999),
    "a laughing key": lambda path: _pickled(path, b"}" + _laughs(b"Ns")),
    "a laughing shape": lambda path: _pickled(path, REBUILD + STORAGE + b"K\x00" + _laughs(b"") + b")tR"),
    "a laughing call": lambda path: _pickled(path, b"ccollections\nOrderedDict\n" + _laughs(b"\x85R")),
    "a large claim": lambda path: _pickled(
        path, b"}X\x01\x00\x00\x00a" + REBUILD + STORAGE + b"K\x00(J\x00\x00\x00\x7ftK\x01\x85tRs"
    ),
    "registered": lambda path: _pickled(path, b"\x82\x01"),
    "a whole model": lambda path: torch.save(network(), path),
    "sparse": lambda path: torch.save({"a": torch.eye(3).to_sparse()}, path),
    "quantised": lambda path: torch.save({"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, path),
    "meta": lambda path: torch.save({"a": torch.ones(3, device="meta")}, path),
    "numpy": lambda path: torch.save({"a": torch.ones(3), "b": np.ones(3)}, path),
    "no tensors": lambda path: torch.save({"state_dict": {"epoch": 3}}, path),
    "integers": lambda path: torch.save(
        {k: v.to(torch.int8) if v.is_floating_point() else v for k, v in prefixed("").items()}, path
    ),
    "complex": lambda path: torch.save(
        {k: v.to(torch.complex64) if v.is_floating_point() else v for k, v in prefixed("").items()}, path
    ),
    "nan": lambda path: torch.save({**prefixed(""), "fc.bias": torch.tensor([float("nan")])}, path),
    "inf": lambda path: torch.save({**prefixed(""), "fc.bias": torch.tensor([float("inf")])}, path),
    "one too few": lambda path: torch.save({k: v for k, v in prefixed("").items() if k != "fc.bias"}, path),
    "one too many": lambda path: torch.save({**prefixed(""), "more": torch.ones(1)}, path),
    "a long header": lambda path: path.write_bytes(_header(LARGEST_HEADER + 1) + bytes(LARGEST_HEADER + 10)),
    "a header past the end": lambda path: path.write_bytes(_header(1 << 62)),
    "a header of rubbish": lambda path: path.write_bytes(_header(201)),
    "a deep header": lambda path: path.write_bytes(struct.pack("<Q", 100_001) + b'{"a":' * 20_000 + b" " * 60_000),
    "broken metadata": lambda path: save_file({"a": torch.ones(1)}, path, metadata={"m2f2bench": "{"}),
    "deep metadata": lambda path: save_file({"a": torch.ones(1)}, path, metadata={"m2f2bench": "[" * 100_000}),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_d5_what_is_no_weights_is_one_line(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    HOSTILE[kind](path)
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(M2F2BenchError) as caught:
        scores(path)
    assert time.monotonic() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 500_000  # kilobytes
    line = str(caught.value)
    assert "\n" not in line and str(path) in line and len(line) < 600 + len(str(path))


def test_d5_the_cause_is_named(tmp_path: Path) -> None:
    for kind, told in {
        "a folder": "it is a folder",
        "a fifo": "it is not a regular file",
        "a pointer": "a Git LFS pointer, not the file itself: run `git lfs pull`",
        "a web page": "a web page",
        "empty": "an empty file",
        "script": "a TorchScript program",
        "a whole model": r"a whole object \(timm\..*\), whose code is not run: save only its weights",
        "sparse": "of type torch._utils._rebuild_sparse_tensor, not a plain tensor",
        "integers": "is int8, but the network's is float32: are the weights quantised",
        "nan": "'fc.bias' has values that are not finite numbers",
        "a bomb": "is compressed, which torch.save never does",
    }.items():
        path = tmp_path / kind.replace(" ", "")
        HOSTILE[kind](path)
        with pytest.raises(DetectorError, match=told):
            scores(path)
    assert is_pointer(tmp_path / "apointer") and not is_pointer(tmp_path / "afifo")


def test_d5_a_file_far_larger_than_the_network_is_not_read(tmp_path: Path) -> None:
    """4 GB that lie in holes of the file: its shapes do not fit, and no value is read."""
    path = tmp_path / "x.safetensors"
    header = b'{"fc.weight":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + 4_000_000_000)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DetectorError, match="do not fit"):
        load_weights(network(), path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_d5_damaged_bytes_are_one_line_or_other_numbers(tmp_path: Path, kind: str) -> None:
    """Flips and cuts at places drawn by a seed, half of them in the first bytes, where the structure is."""
    path, draw = tmp_path / "x", random.Random(zlib.crc32(kind.encode()))
    good = {"a.weight": torch.randn(40), "b": {"c": torch.arange(3), "d": [1, "x", 2.5]}}
    if kind == "safetensors":
        save_file({"a.weight": torch.randn(40), "c": torch.arange(3)}, path)
    else:
        torch.save(
            {"state_dict": {"a.weight": good["a.weight"]}, **good}, path, _use_new_zipfile_serialization=kind == "zip"
        )
    whole = path.read_bytes()
    ends = {"read": 0, "refused": 0}
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            damaged[draw.randrange(draw.choice((len(damaged), min(len(damaged), 400))))] = draw.randrange(256)
        if draw.random() < 0.2:
            del damaged[draw.randrange(len(damaged)) :]
        path.write_bytes(damaged)
        try:
            for tensor in open_weights(path).tensors.values():
                tensor.read()
            ends["read"] += 1
        except DetectorError as error:
            assert "\n" not in str(error)
            ends["refused"] += 1
    assert min(ends.values()) > 20


def test_d5_a_hidden_call_is_never_made(tmp_path: Path, plain: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'planted'}",)

    for zipped in (True, False):
        path = tmp_path / "x.pth"
        torch.save({"state_dict": prefixed("module."), "extra": Harm()}, path, _use_new_zipfile_serialization=zipped)
        assert np.array_equal(scores(path), scores(plain))
        assert open_pickled(path).stubbed == {"posix.system"}
    assert not (tmp_path / "planted").exists()


def test_d5_an_llms_folder_runs_no_code_of_its_own_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'planted')!r}, 'w').close()\nclass Config: pass\n")
    names = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Config", "AutoTokenizer": ["evil.Config", None]}
    config = {"model_type": "evil", "auto_map": names, "architectures": ["Evil"]}
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(json.dumps(config))
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(DetectorError, match=r"LLM '.*' cannot be loaded: .*contains custom code"):
        open_language(LanguageSource(name=str(tmp_path)), tmp_path)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "x.gguf"])
def test_d5_an_llm_that_git_has_not_fetched_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / name).write_bytes(LFS)
    source = LanguageSource(name=str(tmp_path / name if name.endswith("gguf") else tmp_path))
    with pytest.raises(
        DetectorError, match=f"'.*{name}' is a Git LFS pointer, not the file itself: run `git lfs pull`"
    ):
        open_language(source, tmp_path)
