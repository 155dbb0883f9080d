"""Processor time (user and system) of commands that need no data, in turns with that of their imports.

Asked: at most 2.0 times `python -c "import typer, pydantic, yaml"` for `import m2f2bench`, `--help` and `list`, with a
kind and without.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

from common import report, sized

ROUNDS = sized(15, 1)
MOST = 2.0
IMPORTS = ["-c", "import typer, pydantic, yaml"]
CALLS = {
    "import m2f2bench": ["-c", "import m2f2bench"],
    "m2f2bench --help": ["-m", "m2f2bench", "--help"],
    "m2f2bench list detectors": ["-m", "m2f2bench", "list", "detectors"],
    "m2f2bench list": ["-m", "m2f2bench", "list"],
}


def processor_time(words: list[str]) -> float:
    """User and system seconds of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    calls = {"imports": IMPORTS, **CALLS}
    for words in calls.values():
        processor_time(words)  # the first call reads files that the others find in memory
    rounds = [{name: processor_time(words) for name, words in calls.items()} for _ in range(ROUNDS)]
    report(
        [
            {
                "what": name,
                "imports_s": statistics.median(one["imports"] for one in rounds),
                "call_s": statistics.median(one[name] for one in rounds),
                "times": statistics.median(one[name] / one["imports"] for one in rounds),
                "times_of_least": min(one[name] for one in rounds) / min(one["imports"] for one in rounds),
                "asked": f"<= {MOST}",
            }
            for name in CALLS
        ]
    )


if __name__ == "__main__":
    main()
