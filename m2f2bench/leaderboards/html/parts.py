"""Base of both kinds of page: one template, style and script, escaped text, and a strict content security policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from ...version import __version__

BASE = "base"


def render_page(package: str, name: str, filters: Mapping[str, Callable[[Any], str]], **values: Any) -> str:
    """Return the page `name` of a package: NAME.html.j2, NAME.css and NAME.js, each on top of the base's.

    All text is escaped, and a name that the template does not know is an error. The page's content security policy lets
    nothing run or load but its own style and script, which are identified by their hashes, and pictures inside the
    page. The same values give the same page, which ends in a newline.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    style, script = (
        compact(_text(__package__, f"{BASE}.{suffix}") + _text(package, f"{name}.{suffix}")) for suffix in ("css", "js")
    )
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(__package__, "")]),
        autoescape=True,  # jinja2 decides by the file's ending, which is .j2 here
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    page = environment.get_template(f"{name}.html.j2").render(
        style=Markup(style), script=Markup(script), policy=policy(style, script), version=__version__, **values
    )
    return page.rstrip() + "\n"


def _text(package: str, file: str) -> str:
    return resources.files(package).joinpath(file).read_text("utf-8")


def compact(text: str) -> str:
    """Return a style sheet or script without indentation, empty lines and lines that are a comment."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def policy(style: str, script: str) -> str:
    """Return a content security policy that admits only this style and script, and no request to anywhere."""

    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
