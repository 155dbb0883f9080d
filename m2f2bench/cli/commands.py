"""Base of all commands: `--quiet` and `--verbose` everywhere, and an interruption that says what is kept."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer import Option
from typer.core import TyperCommand, TyperGroup

from ..core import progress
from ..core.errors import M2F2BenchError, is_interruption

HELP = {"help_option_names": ["-h", "--help"]}
"""Settings of the command line, which every command inherits."""
LEVELS = {"quiet": logging.WARNING, "": logging.INFO, "verbose": logging.DEBUG}
KEPT = {
    "run": "the rows written so far are kept in {out}; the same command goes on from there",
    "train": "the last checkpoint is kept in {out}; the same command with --resume goes on from there",
    "check": "the rows written so far are kept only with --out DIR; the same command then goes on from there",
    "audit": "the frames read so far are kept in the cache; the same command goes on from there",
    "predict": "the heat maps written so far are kept in '{heatmap}'; the same command starts again",
    "demo": "the demo has ended, and what was uploaded is deleted",
}
"""What an interrupted command leaves behind and how to go on, by its name; of the others nothing is kept."""
NOTHING = "this command keeps nothing unfinished; the same command starts again"
NO_CHECKPOINT = "no checkpoint was written yet; the same command starts again"


class Interrupted(M2F2BenchError):
    """The user's Ctrl-C."""

    exit_status = 130


def kept(command: str, params: dict[str, Any]) -> str:
    """Return what is kept of an interrupted command, and how to go on, in one line."""
    text, folder = KEPT.get(command, NOTHING), _folder(command, params)
    if command == "predict" and params.get("heatmap") is None:
        text = NOTHING
    if command == "train":
        from ..training.job import latest_checkpoint

        text = text if latest_checkpoint(folder) else NO_CHECKPOINT
    return "interrupted: " + text.format(out=f"'{folder}'", heatmap=params.get("heatmap"))


def _folder(command: str, params: dict[str, Any]) -> Path:
    """Return the folder that a command writes, from its options."""
    if params.get("out") is not None:
        return Path(params["out"])
    if command == "run":
        from .run import run_folder

        judged = params.get("detector") or params.get("dataset")
        return run_folder(params.get("suite") or ("" if judged else "quickstart"))
    names = [Path(str(params.get(key))).stem for key in ("detector", "dataset")]
    names += [str(params["stage"])] if params.get("stage", "detector") != "detector" else []
    return Path("runs/trained") / "--".join(names)


def set_loudness(level: str = "") -> None:
    """Set what is printed beside the results: `quiet` (warnings alone), "" (as usual) or `verbose`."""
    logging.getLogger("m2f2bench").setLevel(LEVELS[level])
    progress.hide(level == "quiet")


def is_verbose() -> bool:
    """Return whether --verbose was given."""
    return logging.getLogger("m2f2bench").level == LEVELS["verbose"]


def _quiet(wanted: bool) -> None:
    if wanted:
        set_loudness("quiet")


def _verbose(wanted: bool) -> None:
    if wanted:
        set_loudness("verbose")


@cache
def _loudness(short: bool) -> list[Any]:
    """Return the options --quiet and --verbose, with -q or without: `predict` has a -q of its own."""
    q = ["-q"] if short else []

    def options(
        quiet: bool = Option(
            False, *q, "--quiet", callback=_quiet, expose_value=False, help="No progress and no notes, only warnings."
        ),
        verbose: bool = Option(
            False, "-v", "--verbose", callback=_verbose, expose_value=False, help="Add times, and tracebacks of errors."
        ),
    ) -> None: ...

    holder = typer.Typer(add_completion=False)
    holder.command()(options)
    return list(typer.main.get_command(holder).params)


class _AsItIs:
    """Coercion of a text or a flag, which changes nothing. Typer builds a validator for it: half the time of `list`."""

    def coerce(self, value: Any, **_: Any) -> Any:
        """Return the value."""
        return value


def _with_loudness(own: list[Any]) -> list[Any]:
    """Return a command's parameters with --quiet and --verbose before its last, --help."""
    taken = {name for param in own for name in param.opts}
    params = [*own[:-1], *_loudness("-q" not in taken), *own[-1:]]
    for param in params:
        if getattr(getattr(param, "type_descriptor", None), "annotation", None) in (str, bool):
            param._runtime_param = _AsItIs()
    return params


class Command(TyperCommand):
    """A command with --quiet and --verbose."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the command's parameters, and those that all commands have."""
        return _with_loudness(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Raises Interrupted with one line that says what is kept for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            if is_interruption(error):
                raise Interrupted(kept(str(ctx.info_name), ctx.params)) from None
            raise


class Group(TyperGroup):
    """The command line itself, with --quiet and --verbose before a command too."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters."""
        return _with_loudness(super().get_params(ctx))
