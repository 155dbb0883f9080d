"""What kept memory is worth on a CPU: a forward pass and a training step, with and without `keep_freed_memory`.

EfficientNet-Lite0 with random weights on batches of 32 images of 224 px, in processes of their own, in turn; the
middle round of each. Without it, glibc gives every large activation back to the system, which then clears new pages.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time

from common import report, sized

BATCH, SIDE, STEPS, ROUNDS = sized((32, 224, 8, 3), (2, 32, 2, 1))
WITHOUT = "glibc.malloc.mmap_max=65536"
"""glibc's own value: a setting of the user's, which the package leaves as it is."""


def child() -> dict[str, float]:
    """Seconds of a forward pass and of a training step (the middle one, after a first), and the peak in MiB."""
    import timm
    import torch

    from m2f2bench.training.device import pick_device

    pick_device("cpu")
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=1).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    forward, step = [], []
    for _ in range(STEPS):
        start = time.perf_counter()
        with torch.inference_mode():
            model.eval()(images)
        middle = time.perf_counter()
        model.train()(images).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        forward.append(middle - start)
        step.append(time.perf_counter() - middle)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"forward_s": statistics.median(forward[1:]), "step_s": statistics.median(step[1:]), "peak_mib": peak}


def measured(without: bool) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    environment |= {"GLIBC_TUNABLES": WITHOUT} if without else {}
    words = [sys.executable, __file__, "--child", *(["--quick"] if "--quick" in sys.argv else [])]
    told = subprocess.run(words, check=True, capture_output=True, text=True, env=environment).stdout
    return dict(json.loads(told))


def main() -> None:
    if "--child" in sys.argv:
        print(json.dumps(child()))
        return
    rounds = [(measured(without=True), measured(without=False)) for _ in range(ROUNDS)]
    names = list(rounds[0][0])
    plain, kept = ({name: statistics.median(one[i][name] for one in rounds) for name in names} for i in (0, 1))
    times = {name: plain[name] / kept[name] for name in names}
    report([{"memory": "given back", **plain}, {"memory": "kept", **kept}, {"memory": "ratio", **times}])


if __name__ == "__main__":
    main()
