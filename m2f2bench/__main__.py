"""The program `m2f2bench`, also as `python -m m2f2bench`."""

import sys


def main() -> None:
    """Run the command line; a Ctrl-C while it is imported has its exit status too, 130, and no traceback."""
    try:
        from .cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
