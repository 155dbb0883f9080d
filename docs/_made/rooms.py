"""Map of the rooms, drawn from the imports: a box for each room, an arrow to each room that it imports directly."""

from __future__ import annotations

import ast
import re
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "m2f2bench"
TABLE = re.compile(r"^\| `(\w+)` \| (.+?) \|$", re.MULTILINE)
WIDTH, HEIGHT, GAP, ROW = 196, 78, 18, 118


def texts() -> dict[str, str]:
    """Return what each room holds, in the order of the rooms, from the table in CONTRIBUTING.md."""
    return dict(TABLE.findall((PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")))


def imported(room: str, rooms: set[str]) -> set[str]:
    """Return the rooms whose modules a room's modules import, wherever the import stands."""
    found: set[str] = set()
    places = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").exists() else (PACKAGE / room).rglob("*.py")
    for path in places:
        inside = path.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = inside[: len(inside) - node.level] if node.level <= len(inside) else ()
                full = [*base, *(node.module or "").split(".")] if node.module else list(base)
                names = full[:1] if full else [alias.name for alias in node.names]
                found |= {name for name in names if name in rooms}
    return found - {room}


def reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows without those that a longer way of arrows replaces."""

    def reach(room: str) -> set[str]:
        return {far for near in edges[room] for far in {near} | reach(near)}

    return {
        room: {to for to in below if not any(to in reach(other) for other in below - {to})}
        for room, below in edges.items()
    }


def wrapped(text: str, wide: int = 30) -> list[str]:
    """Return a text in lines of at most `wide` characters, three at the most."""
    lines = [""]
    for word in text.replace("`", "").split():
        if len(lines[-1]) + len(word) > wide:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [*lines[:2], lines[2] + " …"] if len(lines) > 3 else lines


def draw() -> str:
    """Return the map as SVG; colours follow the reader's light or dark setting."""
    about = texts()
    edges = reduced({room: imported(room, set(about)) for room in about})
    level: dict[str, int] = {}
    for room in about:  # in their order: what a room imports has its level already
        level[room] = 1 + max((level[below] for below in edges[room]), default=-1)
    floors = [[room for room in about if level[room] == floor] for floor in range(max(level.values()) + 1)]
    across = max(map(len, floors)) * (WIDTH + GAP) + GAP
    place: dict[str, tuple[float, float]] = {}
    for floor, rooms in enumerate(floors):
        left = (across - len(rooms) * (WIDTH + GAP) + GAP) / 2
        for number, room in enumerate(rooms):
            place[room] = (left + number * (WIDTH + GAP), 20 + (len(floors) - 1 - floor) * ROW)
    parts = []
    for room, below in edges.items():
        for other in sorted(below):
            (x, y), (u, v) = place[room], place[other]
            start, end = (x + WIDTH / 2, y + HEIGHT), (u + WIDTH / 2, v)
            middle = (start[1] + end[1]) / 2
            bend = f"C{start[0]} {middle} {end[0]} {middle} {end[0]} {end[1]}"
            parts.append(f'<path class="way" d="M{start[0]} {start[1]} {bend}"/>')
    for room, (x, y) in place.items():
        parts.append(f'<rect class="room" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>')
        parts.append(f'<text class="name" x="{x + 10}" y="{y + 21}">{room}</text>')
        for number, line in enumerate(wrapped(about[room])):
            parts.append(f'<text class="what" x="{x + 10}" y="{y + 39 + 14 * number}">{escape(line)}</text>')
    height = 40 + (len(floors) - 1) * ROW + HEIGHT
    style = (
        "text{font-family:system-ui,sans-serif;fill:#1f2430}.name{font-weight:600;font-size:14px}.what{font-size:10.5px}"
        ".room{fill:#eef1fb;stroke:#5c6bc0}.way{fill:none;stroke:#8f97b3;stroke-width:1.3}"
        "@media(prefers-color-scheme:dark){text{fill:#e6e8f0}.room{fill:#262b3d;stroke:#7986cb}.way{stroke:#7b829c}}"
    )
    size = f'width="{across}" height="{height}" viewBox="0 0 {across} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{style}</style>'
    return head + "".join(parts) + "</svg>\n"
