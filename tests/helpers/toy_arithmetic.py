"""What torch does with float32 products: its settings, and ways in which a process may have set them.

python tests/helpers/toy_arithmetic.py: a process for each way, since torch cannot go back to untouched settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from m2f2bench.core.arithmetic import exact_fp32, repeatable

OPERATIONS = [
    *(("cuda", "matmul"), ("cudnn", "conv"), ("cudnn", "rnn")),
    *(("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn")),
]
"""Those with a setting of their own, from torch 2.9 on."""


def own_setting(family: str, name: str) -> str:
    return str(getattr(getattr(torch.backends, family), name).fp32_precision)


def settings() -> dict[str, Any]:
    """All settings of float32 products that this torch has; "?" for one that it refuses to read."""
    backends, found = torch.backends, {}
    places: dict[str, Callable[[], Any]] = {
        "matmul": torch.get_float32_matmul_precision,
        "cublas": lambda: backends.cuda.matmul.allow_tf32,
        "cudnn": lambda: backends.cudnn.allow_tf32,
        "all": lambda: backends.fp32_precision,
        "cudnn all": lambda: backends.cudnn.fp32_precision,
        **{f"{family} {name}": partial(own_setting, family, name) for family, name in OPERATIONS},
        "deterministic": lambda: backends.cudnn.deterministic,
        "benchmark": lambda: backends.cudnn.benchmark,
        "enabled": lambda: backends.cudnn.enabled,
    }
    for name, read in places.items():
        try:
            found[name] = read()
        except AttributeError:
            continue
        except RuntimeError:
            found[name] = "?"
    return found


def is_exact(found: dict[str, Any]) -> bool:
    """Whether no product of float32 numbers may be rounded: the operations' own settings decide where there are any."""
    own = [found[f"{family} {name}"] for family, name in OPERATIONS if f"{family} {name}" in found]
    old = [found["matmul"] == "highest", found["cublas"] is False, found["cudnn"] is False]
    return all(one == "ieee" for one in own) if own else all(old)


def loose() -> None:
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.allow_tf32 = True


def new(family: str, name: str, value: str) -> None:
    owner = getattr(torch.backends, family) if family else torch.backends
    owner = getattr(owner, name) if name else owner
    assert owner.fp32_precision != value  # AttributeError before torch 2.9
    owner.fp32_precision = value


WAYS: dict[str, Callable[[], None]] = {
    "torch's own": lambda: None,
    "loose": loose,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "no TF32 in cuDNN": lambda: setattr(torch.backends.cudnn, "allow_tf32", False),
    "cuBLAS": lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
    "all of it, new": lambda: new("", "", "tf32"),
    "one convolution, new": lambda: new("cudnn", "conv", "ieee"),
    "bfloat16 on a CPU, new": lambda: new("mkldnn", "matmul", "bf16"),
}


def checked(way: str) -> None:
    """In a process where the settings are set in one of WAYS."""
    try:
        WAYS[way]()
    except AttributeError:
        return  # a torch before 2.9
    before = settings()
    with exact_fp32():
        assert is_exact(settings())
        try:
            with exact_fp32(), repeatable():
                assert is_exact(settings()) and settings()["deterministic"]
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        assert is_exact(settings()) and settings()["deterministic"] == before["deterministic"]
    assert settings() == before
    with exact_fp32("clip-tf32"):
        assert settings() == before


if __name__ == "__main__":
    for one in WAYS:
        child = os.fork()
        if child == 0:
            checked(one)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, one
    print(f"{len(WAYS)} ways")
