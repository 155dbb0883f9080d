"""Hostile videos: what is no video, what is damaged, and playlists that name other files and addresses."""

# ruff: noqa: E501 - a line an input

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile import Case, Check, Draw, Outcome, both, either, put, refused
from hostile_formats import frames
from hostile_images import WHOLE, png
from hostile_materials import CORNER, content, film

BAIT = "bait.mkv"
"""A good video that lies beside, under a name that no command gives."""


def told_of(outcome: Outcome) -> str:
    """A damaged video is refused, or judged with a remark on the frames that lack."""
    if outcome.status != 0:
        return refused(outcome)
    told = outcome.json()[0]
    remarked = told["message"] and "warning" not in outcome.err and "x.mp4" in outcome.err
    return "" if told["score"] is None or remarked else f"judged without a word: {told}"


def video(name: str, draw: Draw, check: Check = refused, file: str = "x.mp4") -> Case:
    bait = put(BAIT, lambda: content("film.mkv"))
    words = ("predict", "--no-faces", file, "-d", "corner.py:Corner", "--json")
    return Case(name, both(put("corner.py", CORNER), bait, draw), words, check, code=("corner.py",))


def x(make: Callable[[], bytes | str], file: str = "x.mp4") -> Draw:
    return put(file, make)


def made(**how: object) -> Draw:
    def draw(folder: Path) -> None:
        film(folder / "x.mp4", **how)  # type: ignore[arg-type]

    return draw


def mp4() -> bytes:
    return content("film.mp4")


def box(data: bytes, name: bytes) -> int:
    """Where a box's content starts."""
    return data.index(name) + 4


def patched(name: bytes, at: int, new: bytes, data: Callable[[], bytes] = mp4) -> Callable[[], bytes]:
    def make() -> bytes:
        whole = data()
        start = box(whole, name) + at
        return whole[:start] + new + whole[start + len(new) :]

    return make


def without(name: bytes) -> Callable[[], bytes]:
    """A box renamed to one that nobody reads."""
    return lambda: mp4().replace(name, b"free", 1)


def sound(folder: Path, cover: bool = False) -> None:
    import av

    with av.open(str(folder / "x.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def empty(folder: Path) -> None:
    import av

    with av.open(str(folder / "x.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"


def changing(folder: Path) -> None:
    """Two streams of H.264, of 64x48 and of 128x96, in one file."""
    for name, size in (("a.h264", (64, 48)), ("b.h264", (128, 96))):
        film(folder / name, "libx264", size=size)
    (folder / "x.mp4").write_bytes((folder / "a.h264").read_bytes() + (folder / "b.h264").read_bytes())


def turned(folder: Path) -> None:
    """The display matrix of a quarter turn on pixels that lie on their side."""
    data = mp4()
    at = box(data, b"tkhd") + 40
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    (folder / "x.mp4").write_bytes(data[:at] + matrix + data[at + 36 :])


def upper_right(outcome: Outcome) -> str:
    """After a quarter turn to the right the white quarter is at the right."""
    if outcome.status != 0:
        return f"refused: {outcome.err!r}"
    score = outcome.json()[0]["score"]
    return "" if score < 0.3 else f"{score}: it was not turned"


def fragments(folder: Path) -> None:
    film(folder / "x.mp4", options={"movflags": "frag_keyframe+empty_moov"})


BIG = b"\xff\xff\xff\xff"
VIDEOS: list[tuple[str, Draw, Check]] = [
    ("plain", x(mp4), WHOLE),
    ("h264", x(lambda: content("h264.mp4")), WHOLE),
    ("matroska-of-another-ending", x(lambda: content("film.mkv")), WHOLE),
    ("avi-of-another-ending", x(lambda: content("film.avi")), WHOLE),
    ("one-frame", made(frames=1), WHOLE),
    ("fragments", fragments, WHOLE),
    ("odd-size", made(size=(66, 50)), WHOLE),
    ("smallest", made(size=(16, 16)), WHOLE),
    ("quarter-turn", turned, upper_right),
    ("gif", x(lambda: frames("GIF")), either),
    ("empty", x(lambda: b""), refused),
    ("text", x(lambda: "no video"), refused),
    ("html", x(lambda: "<html><body>403</body></html>"), refused),
    ("zeros", x(lambda: bytes(100_000)), refused),
    ("noise", x(lambda: np.random.default_rng(3).integers(0, 255, 50_000, np.uint8).tobytes()), refused),
    ("cut-in-ftyp", x(lambda: mp4()[:20]), refused),
    ("cut-in-mdat", x(lambda: mp4()[: len(mp4()) // 2]), refused),
    ("cut-in-moov", x(lambda: mp4()[:-300]), refused),
    ("cut-matroska", x(lambda: content("film.mkv")[: len(content("film.mkv")) // 2]), told_of),
    ("cut-avi", x(lambda: content("film.avi")[: len(content("film.avi")) // 2]), told_of),
    ("matroska-header-alone", x(lambda: content("film.mkv")[:300]), refused),
    ("avi-header-alone", x(lambda: content("film.avi")[:200]), refused),
    ("damaged-in-the-middle", x(lambda: content("h264.mp4").replace(content("h264.mp4")[900:1100], b"\xff" * 200)), told_of),
    ("zeros-in-the-middle", x(lambda: mp4()[:1500] + bytes(1500) + mp4()[3000:]), told_of),
    ("no-frames", empty, refused),
    ("sound-alone", sound, refused),
    ("changing-size", changing, either),
    ("no-moov", x(without(b"moov")), either),
    ("no-trak", x(without(b"trak")), refused),
    ("no-sample-table", x(without(b"stbl")), refused),
    ("no-sample-sizes", x(without(b"stsz")), refused),
    ("no-chunk-offsets", x(without(b"stco")), refused),
    ("no-times", x(without(b"stts")), either),
    ("no-decoder-settings", x(without(b"esds")), either),
    ("moov-of-4-gb", x(lambda: mp4().replace(mp4()[box(mp4(), b"moov") - 8 : box(mp4(), b"moov")], BIG + b"moov")), either),
    ("box-of-length-1", x(lambda: mp4().replace(mp4()[box(mp4(), b"trak") - 8 : box(mp4(), b"trak")], b"\0\0\0\1trak")), refused),
    ("4-billion-samples", x(patched(b"stsz", 8, BIG)), refused),
    ("samples-of-2-gb", x(patched(b"stsz", 12, b"\x7f\xff\xff\xff" * 12)), refused),
    ("samples-of-no-bytes", x(patched(b"stsz", 12, bytes(48))), refused),
    ("chunks-behind-the-end", x(patched(b"stco", 8, b"\x7f\xff\xff\xff")), refused),
    ("4-billion-time-entries", x(patched(b"stts", 4, BIG)), either),
    ("times-of-zero", x(patched(b"stts", 12, bytes(4))), WHOLE),
    ("times-of-4-billion", x(patched(b"stts", 12, BIG)), either),
    ("time-base-of-zero", x(patched(b"mdhd", 12, bytes(4))), either),
    ("duration-of-zero", x(patched(b"mdhd", 16, bytes(4))), either),
    ("duration-of-4-billion", x(patched(b"mdhd", 16, BIG)), either),
    ("matrix-of-zeros", x(patched(b"tkhd", 40, bytes(36))), WHOLE),
    ("width-of-65535", x(patched(b"mp4v", 24, b"\xff\xff\xff\xff")), either),
    ("width-of-zero", x(patched(b"mp4v", 24, bytes(4))), either),
    ("unknown-codec", x(lambda: mp4().replace(b"mp4v", b"xxxx")), either),
    ("another-codec", x(lambda: mp4().replace(b"mp4v", b"avc1")), either),
    ("external-data-reference", x(lambda: mp4().replace(b"url \0\0\0\1", b"url \0\0\0\0")), either),
    ("avi-rate-of-zero", x(lambda: content("film.avi").replace(struct.pack("<I", 12), bytes(4))), either),
    ("avi-broken-index", x(lambda: content("film.avi").replace(b"idx1", b"JUNK")), WHOLE),
    ("playlist-hls", x(lambda: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{BAIT}\n#EXT-X-ENDLIST\n"), refused),
    ("playlist-hls-network", x(lambda: "#EXTM3U\n#EXTINF:9,\nhttp://example.com/a.ts\n#EXT-X-ENDLIST\n"), refused),
    ("playlist-concat", x(lambda: f"ffconcat version 1.0\nfile {BAIT}\n"), refused),
    ("playlist-concat-passwd", x(lambda: "ffconcat version 1.0\nfile /etc/passwd\n"), refused),
    ("playlist-concat-of-itself", x(lambda: "ffconcat version 1.0\nfile x.mp4\n"), refused),
    ("playlist-dash", x(lambda: f'<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{BAIT}</BaseURL></Representation></AdaptationSet></Period></MPD>'), refused),
    ("playlist-sdp", x(lambda: "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 50000 RTP/AVP 96\na=rtpmap:96 H264/90000\n"), refused),
    ("playlist-smooth", x(lambda: '<SmoothStreamingMedia MajorVersion="2"></SmoothStreamingMedia>'), refused),
    ("subtitles", x(lambda: "1\n00:00:00,000 --> 00:00:09,000\nhello\n"), refused),
    ("script-for-a-filter", x(lambda: "# movie=/etc/passwd\nlavfi"), refused),
    ("yuv4mpeg-huge", x(lambda: "YUV4MPEG2 W65535 H65535 F25:1 Ip A1:1 C420\nFRAME\n"), refused),
    ("yuv4mpeg-cut", x(lambda: b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(100)), refused),
    ("picture-as-video", x(png), either),
]  # fmt: skip

ODD_NAMES: list[tuple[str, str, Check]] = [
    ("name-concat-of-two", "concat:bait.mkv|bait.mkv.mp4", WHOLE),
    ("name-file", "file:x.mp4", WHOLE),
    ("name-http", "http:x.mp4", WHOLE),
    ("name-pipe", "pipe:0.mp4", WHOLE),
    ("name-subfile", "subfile,,start,0,end,9,,:x.mp4", WHOLE),
    ("name-data", "data:video,x.mp4", WHOLE),
    ("name-of-a-pattern", "x%03d.mp4", WHOLE),
    ("name-with-a-dash", "./-x.mp4", WHOLE),
]

CASES = [
    *[video(name, draw, check) for name, draw, check in VIDEOS],
    *[video(name, x(mp4, file), check, file) for name, file, check in ODD_NAMES],
]
