"""The kinds of input that `fuzz.py` changes: a valid file of each, and what reads it."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Reader = Callable[[Path], object]


@dataclass(frozen=True)
class Kind:
    """A kind of input: the valid file, its name, what reads it, and how its structure is written and read."""

    name: str
    draw: Callable[[], bytes]
    read: Reader
    load: Callable[[bytes], Any] | None = None
    dump: Callable[[Any], bytes] | None = None


# Readers: the gates, and what is built at once on what passes them.


def read_picture(path: Path) -> None:
    from m2f2bench.datasets.files.images import read_image

    image = read_image(path, "x")
    assert image.dtype == "uint8" and image.ndim == 3 and image.shape[2] == 3


def read_film(path: Path) -> None:
    from m2f2bench.datasets.files.video import read_video

    video = read_video(path, lambda n: range(min(n, 4)))
    assert all(image.shape[2] == 3 for image in video.images)


def read_hdf5(path: Path) -> None:
    from m2f2bench.core.errors import FrameError
    from m2f2bench.datasets.layouts.ffpp import FFPPAdapter, FFPPOptions

    data = FFPPAdapter(path.parent, FFPPOptions(methods=("original",)))
    failed = 0
    for frame in data.frames("test")[:20]:
        try:
            assert data.read(frame).shape[2] == 3
        except FrameError:
            failed += 1
    data.close()
    if failed:
        raise FrameError("x", "a frame that cannot be read")


def read_card(path: Path) -> None:
    from m2f2bench.cards.models import read_card as read

    read("metrics", path)


def read_rows(path: Path) -> None:
    from m2f2bench.results.read_rows import read_rows as read

    read(path)


def read_answers(path: Path) -> None:
    from m2f2bench.core.records import Question
    from m2f2bench.results.read_answers import read_answer_files

    asked = [Question(f"q{i}", f"f{i}", "Real?", ("It is real.",), "image", i % 2) for i in range(4)]
    read_answer_files([path], asked)


def read_result(path: Path) -> None:
    from m2f2bench.core.errors import CheckFailed
    from m2f2bench.leaderboards.render import table_markdown
    from m2f2bench.leaderboards.table import build_table
    from m2f2bench.results.stored import read_stored
    from m2f2bench.scoring.validate import validate_result

    problems = validate_result(path)
    table_markdown(build_table([one.result for one in read_stored([path])]))
    if problems:
        raise CheckFailed(problems[0])


def read_weights(path: Path) -> None:
    import torch

    from m2f2bench.detectors.weights.load import load_weights

    load_weights(torch.nn.Sequential(torch.nn.Linear(4, 3)), path)


def read_answer(path: Path) -> None:
    """An endpoint's body."""
    from m2f2bench.core.errors import DetectorError
    from m2f2bench.detectors.openai.endpoint import read_completion

    try:
        read_completion(path.read_bytes().decode(errors="replace"))
    except ValueError as error:
        raise DetectorError(str(error)) from None


def read_manifest(path: Path) -> None:
    from m2f2bench.datasets.lists.manifest import read_manifest as read

    read(path, path.parent, {})


# Valid files.


def picture(kind: str, **how: Any) -> bytes:
    from hostile_materials import saved

    return saved(kind, **how)


def film_bytes() -> bytes:
    from hostile_materials import film

    with tempfile.TemporaryDirectory() as folder:
        film(Path(folder) / "x.mp4", frames=6)
        return (Path(folder) / "x.mp4").read_bytes()


def hdf5_bytes() -> bytes:
    import h5py
    import numpy as np

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for i, key in enumerate(("000", "003")):
            clip = np.random.default_rng(i).integers(0, 99, (3, 16, 16, 3), np.uint8)
            file.create_dataset(key, data=clip, chunks=(1, 16, 16, 3), compression="gzip", fletcher32=bool(i))
    return buffer.getvalue()


def card_bytes() -> bytes:
    import m2f2bench

    package = Path(m2f2bench.__file__).parent
    places = (package.parent / "metrics" / "deepfakebench.yaml", package / "_cards" / "metrics" / "deepfakebench.yaml")
    text = next(place for place in places if place.is_file()).read_text()
    return text.replace("name: deepfakebench", "name: card").encode()


def rows() -> list[dict[str, Any]]:
    return [
        {"id": f"f{i}", "label": i % 2, "score": (7 * i % 20) / 20, "video": f"v{i // 2}", "identity": f"{i}+{i + 1}"}
        for i in range(20)
    ]


def csv_bytes() -> bytes:
    lines = [",".join(map(str, row.values())) for row in rows()]
    return "\n".join(["id,label,score,video,identity", *lines]).encode() + b"\n"


def parquet_bytes() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows()), buffer)
    return buffer.getvalue()


def lines_of(told: Any) -> bytes:
    return b"".join(dumped(row) + b"\n" for row in (told if isinstance(told, list) else [told]))


def answers_bytes() -> bytes:
    return lines_of(
        [{"id": f"q{i}", "text": f"It looks {'fake' if i % 2 else 'real'}.", "score": i / 5} for i in range(4)]
    )


def result_bytes() -> bytes:
    """A small run's, without its rows beside it."""
    from hostile_materials import face
    from PIL import Image

    import m2f2bench

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label in ("real", "fake"):
            (folder / "faces" / label).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(face() // (1 + i)).save(folder / "faces" / label / f"{i}.png")
        m2f2bench.run(detectors="random", datasets=str(folder / "faces"), out=folder / "o")
        return (folder / "o" / "random--faces--frame" / "result.json").read_bytes()


def tensors() -> dict[str, Any]:
    import torch

    return {"0.weight": torch.arange(12.0).reshape(3, 4) / 12, "0.bias": torch.zeros(3)}


def pickle_bytes() -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(tensors(), buffer)
    return buffer.getvalue()


def safetensors_bytes() -> bytes:
    from safetensors.torch import save

    return bytes(save(tensors()))


def answer_bytes() -> bytes:
    from hostile_endpoint import chat, likely

    told = chat([{"type": "text", "text": "It is real."}])
    told["choices"][0]["logprobs"] = likely(("real", -0.5), ("fake", -1.5))
    return json.dumps(told).encode()


def manifest() -> list[dict[str, Any]]:
    return [{"path": f"{i}.png", "label": i % 2, "video": f"v{i // 3}", "index": i, "split": "test"} for i in range(9)]


def dumped(told: Any) -> bytes:
    return json.dumps(told).encode("utf-8", "surrogatepass")


def yaml_dumped(told: Any) -> bytes:
    import yaml

    try:
        return str(yaml.safe_dump(told, allow_unicode=True)).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, RecursionError):
        return dumped(told)


def yaml_loaded(data: bytes) -> Any:
    import yaml

    return yaml.safe_load(data)


def loaded_lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


KINDS = {
    kind: Kind(*rest)  # type: ignore[arg-type]
    for kind, *rest in [
        ("png", "x.png", lambda: picture("PNG"), read_picture),
        ("jpeg", "x.jpg", lambda: picture("JPEG", quality=90), read_picture),
        ("webp", "x.webp", lambda: picture("WEBP"), read_picture),
        ("mp4", "x.mp4", film_bytes, read_film),
        ("hdf5", "FF++_original_c23.h5", hdf5_bytes, read_hdf5),
        ("card", "card.yaml", card_bytes, read_card, yaml_loaded, yaml_dumped),
        ("csv", "x.csv", csv_bytes, read_rows),
        ("parquet", "x.parquet", parquet_bytes, read_rows),
        ("jsonl", "x.jsonl", lambda: lines_of(rows()), read_rows, loaded_lines, lines_of),
        ("answers", "x.jsonl", answers_bytes, read_answers, loaded_lines, lines_of),
        ("result", "result.json", result_bytes, read_result, json.loads, dumped),
        ("pth", "x.pth", pickle_bytes, read_weights),
        ("safetensors", "x.safetensors", safetensors_bytes, read_weights),
        ("endpoint", "x.json", answer_bytes, read_answer, json.loads, dumped),
        ("manifest", "x.jsonl", lambda: lines_of(manifest()), read_manifest, loaded_lines, lines_of),
    ]
}
