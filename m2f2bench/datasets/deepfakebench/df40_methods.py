"""Table of DF40's forty methods: their four types, their nine unknown ones, and their other names on disk."""

from __future__ import annotations

from collections.abc import Iterable

TYPES: dict[str, tuple[str, ...]] = {
    "FS": tuple(
        "fsgan faceswap simswap inswap blendface uniface mobileswap e4s facedancer deepfacelab".split()  # noqa: SIM905
    ),
    "FR": tuple(
        "fomm facevid2vid wav2lip MRAA one_shot_free pirender tpsm lia danet sadtalker mcnet hyperreenact "  # noqa: SIM905
        "heygen".split()
    ),
    "EFS": tuple(
        "VQGAN StyleGAN2 StyleGAN3 StyleGANXL sd2.1 ddim rddm PixArt DiT SiT MidJourney whichisreal".split()  # noqa: SIM905
    ),
    "FE": ("CollabDiff", "e4e", "stargan", "starganv2", "styleclip"),
}
"""Face swapping, reenactment, synthesis of entire faces, editing."""
METHODS = tuple(name for names in TYPES.values() for name in names)
UNKNOWN = (
    *("deepfacelab", "heygen", "MidJourney", "whichisreal", "stargan", "starganv2", "styleclip", "e4e", "CollabDiff"),
)
"""The methods of the third protocol, which have reals of their own, not those of FaceForensics++ or Celeb-DF."""
KNOWN = tuple(name for name in METHODS if name not in UNKNOWN)
OTHER_NAMES = {
    "danet": ("dagan",),
    "heygen": ("heygan",),
    "whichisreal": ("whichfaceisreal",),
}
"""Other names of methods in folders or lists, in lower case; names that differ in case alone are not listed."""
_CANONICAL = {name.casefold(): name for name in METHODS} | {
    other: name for name, others in OTHER_NAMES.items() for other in others
}


def canonical(name: str) -> str:
    """Return the method's usual name (`danet` for `DaGAN`); a name that is not known comes back as it is."""
    return _CANONICAL.get(name.casefold(), name)


def same_names(name: str) -> frozenset[str]:
    """Return all names, in lower case, that a folder of this name may have, its own included."""
    found = canonical(name)
    return frozenset({name.casefold(), found.casefold(), *OTHER_NAMES.get(found, ())})


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Return the methods of a list in which a type (`FS`) stands for all of its methods, each once."""
    return tuple(dict.fromkeys(one for name in names for one in TYPES.get(name, (canonical(name),))))
