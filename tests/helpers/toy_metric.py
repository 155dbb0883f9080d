"""A user's file with a metric, two detectors and a dataset."""

from __future__ import annotations

SOURCE = """
import numpy as np
import m2f2bench

@m2f2bench.register_metric("cost", better="lower", title="cost of errors", range=(0, 10), chance=5)
def cost(label, score, threshold):
    called = score >= threshold
    return (10.0 * (called != (label == 1))).mean()

class Good:
    def predict(self, images):
        return [float(image[0, 0, 0]) / 255 for image in images]

class Bad:
    def predict(self, images):
        return [float(image[0, 0, 1]) / 255 for image in images]

class Faces(m2f2bench.Adapter):
    def frames(self, split):
        return [m2f2bench.Frame(str(i), str(i // 2), i // 2 % 2, "m" if i // 2 % 2 else "original", split, (),
                                m2f2bench.Locator("")) for i in range(120)]
    def read(self, frame):
        rng = np.random.default_rng(int(frame.id))
        shift = 60 * frame.label
        red, green = 60 + shift + 110 * rng.random(), 90 + shift / 10 + 100 * rng.random()
        return np.tile(np.array([red, green, 0]).astype(np.uint8), (8, 8, 1))
"""
