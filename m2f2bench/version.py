"""The version, here alone."""

__version__ = "0.5.0"
