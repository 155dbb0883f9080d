"""Which device a network is trained and run on."""

from __future__ import annotations

import torch

from ..errors import DetectorError


def pick_device(device: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU. Raises DetectorError for a device that cannot be used."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError:
        raise DetectorError(f"device '{device}' is unknown: give auto, cpu, cuda or cuda:N") from None
    if picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count():
        raise DetectorError(
            f"device '{device}' is not there ({torch.cuda.device_count()} CUDA devices): give auto or cpu"
        )
    return picked
