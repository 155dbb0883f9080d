"""Detectors made of a pretrained backbone and a linear head, and the ways to tune the backbone."""
