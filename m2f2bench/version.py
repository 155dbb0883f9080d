"""The version, here alone."""

__version__ = "0.4.0"
