"""Entry of the command line: the commands, and errors as one line without a traceback."""

from __future__ import annotations

import copy
import io
import logging
import os
import sys
import time
import traceback

import typer
from typer import Option

from ..core.errors import M2F2BenchError, MachineError, is_interruption, refuse_machine_fault
from ..version import __version__
from . import catalogue, check, demo, new, prepare, run, score, statistics, train
from .commands import HELP, Command, Group, Interrupted, is_verbose, set_loudness
from .output import message, one_line

app = typer.Typer(
    name="m2f2bench",
    help="Benchmark for face-forgery detectors: a detector is run on a dataset under a protocol, and a leaderboard "
    "compares the results. `m2f2bench run` without options runs the quickstart.",
    cls=Group,
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run", cls=Command, short_help="Judge detectors on datasets and print the leaderboard.")(run.run)
app.command("prepare", cls=Command, short_help="Cut faces out of videos and pictures.")(prepare.prepare)
app.command("train", cls=Command, short_help="Train a detector.")(train.train)
app.command("score", cls=Command, short_help="Score stored rows or answers, without a model.")(score.score)
app.command("compare", cls=Command, short_help="Say which detector is better, by paired tests.")(score.compare)
app.command("leaderboard", cls=Command, short_help="Make a leaderboard from stored results.")(score.leaderboard)
app.command("multiverse", cls=Command, short_help="How far a run's numbers move with how they are evaluated.")(
    statistics.multiverse
)
app.command("power", cls=Command, short_help="Which differences a dataset can show, and what others need.")(
    statistics.power
)
app.command("report", cls=Command, short_help="Write a page about an explainer's answers.")(score.report)
app.command("plot", cls=Command, short_help="Draw ROC curves, ranks, training curves and others.")(score.plot)
app.command("check", cls=Command, short_help="Fail if a detector is worse than a stored result.")(check.check)
app.command("validate", cls=Command, short_help="Check result files: schema, signature, numbers.")(check.validate)
app.command("import-weights", cls=Command, short_help="Make a detector from published weights.")(train.import_weights)
app.command("merge", cls=Command, short_help="Merge an explainer's LoRA adapters into its LLM.")(train.merge)
app.command("predict", cls=Command, short_help="Judge your own images and videos.")(run.predict)
app.command("demo", cls=Command, short_help="Serve a page that judges photos and videos.")(demo.demo)
app.command("localize", cls=Command, short_help="Compare a detector's heat maps with true masks.")(run.localize)
app.command("list", cls=Command, short_help="List detectors, datasets, protocols, metrics, …")(catalogue.list_names)
app.command("describe", cls=Command, short_help="Print all that is known about a name.")(catalogue.describe)
app.command("audit", cls=Command, short_help="Report what leaks in a dataset, or is dead in a detector.")(check.audit)
app.command("sheet", cls=Command, short_help="Draw a contact sheet of a dataset.")(check.sheet)
app.command("doctor", cls=Command, short_help="Check this machine: versions, weights, data, cards.")(catalogue.doctor)
app.command("new", cls=Command, short_help="Write a skeleton of a detector, dataset or metric.")(new.new)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _print_error(error: M2F2BenchError) -> int:
    """Print an error as one line, and return the exit status."""
    if is_verbose() and not isinstance(error, Interrupted):
        traceback.print_exception(error)
    over = "\r" if isinstance(error, Interrupted) and sys.stderr.isatty() else ""  # over the terminal's ^C
    print(over + message(str(error)), file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # Python must not try to print the rest when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return error.exit_status


class _Formatter(logging.Formatter):
    """Messages without what a terminal would take for a command; with --verbose, in one line with their time."""

    def __init__(self) -> None:
        super().__init__("%(message)s")
        self.begin = time.perf_counter()

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if is_verbose():
            return f"{time.perf_counter() - self.begin:8.1f} s  m2f2bench: {one_line(text)}"
        return message(text)


def _asked() -> typer.Typer:
    """Return the application with only the command that is called, if it is one: building all of them takes time."""
    called = [one for one in app.registered_commands if sys.argv[1:2] == [one.name]]
    if not called:
        return app
    small = copy.copy(app)
    small.registered_commands = called
    return small


def _end_by_status() -> None:
    """Make Python end with the exit status after a Ctrl-C.

    Where it fell into code that is compiled from a text (as dataclasses are), Python would end itself by the signal,
    although it was handled, unless other such code ran since.
    """
    exec("")


def main() -> None:
    """Run the command line. Exit status: 0, 1 for a failed check, 2 for a mistake in use, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack characters of a name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    messages = logging.StreamHandler(sys.stderr)
    messages.setFormatter(_Formatter())
    logger = logging.getLogger("m2f2bench")
    logger.addHandler(messages)
    set_loudness()
    try:
        try:
            _asked()()
        finally:
            logger.debug("finished")
            sys.stdout.flush()  # here, where the error of a full disk can still be printed
    except M2F2BenchError as error:
        if isinstance(error, Interrupted):
            _end_by_status()
        sys.exit(_print_error(error))
    except BrokenPipeError:  # the reader of a pipe (head, less) has ended
        sys.stderr.close()
        sys.exit(0)
    except (KeyboardInterrupt, Exception) as error:
        if is_interruption(error):  # before a command has begun
            _end_by_status()
            sys.exit(Interrupted.exit_status)
        try:
            refuse_machine_fault(error, "the command stopped")
        except MachineError as fault:
            sys.exit(_print_error(fault))
        if isinstance(error, OSError):  # such as a name that is too long, or a folder without permission
            where = f"'{error.filename}': " if error.filename is not None else ""
            sys.exit(_print_error(M2F2BenchError(f"{where}{error.strerror or error}")))
        raise
    finally:
        logger.removeHandler(messages)
