"""Detectors: the base classes, and one module or folder for each backend."""
