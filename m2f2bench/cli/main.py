"""Entry of the command line: the commands, and errors as one line without a traceback."""

from __future__ import annotations

import copy
import io
import logging
import os
import sys

import typer
from typer import Option

from ..core.errors import M2F2BenchError, MachineError, refuse_machine_fault
from ..version import __version__
from . import catalogue, check, new, run, score, train
from .output import one_line

app = typer.Typer(
    name="m2f2bench",
    help="Benchmark for face-forgery detectors: a detector is run on a dataset under a protocol, and a leaderboard "
    "compares the results. `m2f2bench run` without options runs the quickstart.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("train")(train.train)
app.command("score")(score.score)
app.command("compare")(score.compare)
app.command("leaderboard")(score.leaderboard)
app.command("report")(score.report)
app.command("plot")(score.plot)
app.command("check")(check.check)
app.command("validate")(check.validate)
app.command("import-weights")(train.import_weights)
app.command("merge")(train.merge)
app.command("predict")(run.predict)
app.command("localize")(run.localize)
app.command("list")(catalogue.list_names)
app.command("describe")(catalogue.describe)
app.command("audit")(check.audit)
app.command("sheet")(check.sheet)
app.command("doctor")(catalogue.doctor)
app.command("new")(new.new)


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
    print(f"m2f2bench: {one_line(str(error))}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # Python must not try to print the rest when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return error.exit_status


class _Formatter(logging.Formatter):
    """Messages as one line each, without what a terminal would take for a command."""

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


def _asked() -> typer.Typer:
    """Return the application with only the command that is called, if it is one: building all of them takes time."""
    called = [one for one in app.registered_commands if sys.argv[1:2] == [one.name]]
    if not called:
        return app
    small = copy.copy(app)
    small.registered_commands = called
    return small


def main() -> None:
    """Run the command line. Exit status: 0, 1 for a failed check, 2 for a mistake in use."""
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack characters of a name
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    messages = logging.StreamHandler(sys.stderr)
    messages.setFormatter(_Formatter("m2f2bench: %(message)s"))
    logger = logging.getLogger("m2f2bench")
    logger.addHandler(messages)
    logger.setLevel(logging.INFO)
    try:
        try:
            _asked()()
        finally:
            sys.stdout.flush()  # here, where the error of a full disk can still be printed
    except M2F2BenchError as error:
        sys.exit(_print_error(error))
    except BrokenPipeError:  # the reader of a pipe (head, less) has ended
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
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
