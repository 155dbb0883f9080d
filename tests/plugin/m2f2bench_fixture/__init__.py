"""An installable plugin, as somebody outside would write it: one detector and one dataset."""

import numpy as np

import m2f2bench


class Brightness(m2f2bench.Detector):
    """P(fake) = mean brightness."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def forward(self, batch, ids):
        return np.array([min(1.0, self.gain * image.mean() / 255.0) for image in batch])


class Squares(m2f2bench.Adapter):
    """Grey squares; the fakes are the brighter ones."""

    splits = ("test",)

    def frames(self, split):
        return [
            m2f2bench.Frame(f"{i}", f"{i}", i % 2, "bright" if i % 2 else "original", split, (), m2f2bench.Locator(""))
            for i in range(6)
        ]

    def read(self, frame):
        return np.full((16, 16, 3), 40 + 20 * frame.label + int(frame.id), dtype=np.uint8)


@m2f2bench.register_metric("fixture_gap", better="higher", title="gap of the means", range=(-1, 1), chance=0)
def gap(label, score):
    """Mean score of the fakes less that of the reals."""
    return score[label == 1].mean() - score[label == 0].mean()
