"""Detector backends: one module (or package) per kind of detector."""
