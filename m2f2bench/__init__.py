"""m2f2bench: a detector judges a dataset under a protocol, and a leaderboard keeps the score.

    import m2f2bench
    results = m2f2bench.run(detectors=["constant", "frequency"], datasets="synthetic")

The public names are listed once, in `__init__.pyi`, which type checkers read too. Each is imported when it is first
used, so that `import m2f2bench` costs almost nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
