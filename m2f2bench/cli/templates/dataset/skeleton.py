"""The dataset `skeleton`: a starting point for images that lie in `ROOT/SPLIT/MANIPULATION/VIDEO_NUMBER.png`."""

import m2f2bench


class Skeleton(m2f2bench.FileAdapter):
    """A dataset of image files: it only has to list them. Put your own layout into `frames`."""

    splits = ("train", "test")

    def frames(self, split: str) -> list[m2f2bench.Frame]:
        """Return all frames of a split in a fixed order, those of one video together and in time order."""
        if self.root is None or not (self.root / split).is_dir():
            raise m2f2bench.M2F2BenchError(f"dataset 'skeleton': no folder '{split}' in '{self.root}'; check --data")
        frames = []
        for path in sorted((self.root / split).glob("*/*.png")):
            method = path.parent.name  # the manipulation; "original" for a real image
            video = f"{method}/{path.stem.rpartition('_')[0]}"  # a real and a fake video never share a name
            frames.append(
                m2f2bench.Frame(
                    id=f"{split}/{method}/{path.stem}",  # stays the same for ever, and is there once
                    video=video,
                    label=0 if method == "original" else 1,
                    method=method,
                    split=split,
                    identities=(),  # the people in it, if you know them: ("person-7",)
                    locator=m2f2bench.Locator(str(path)),
                )
            )
        return frames
