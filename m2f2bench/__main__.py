"""`python -m m2f2bench`."""

from .cli.main import main

if __name__ == "__main__":
    main()
