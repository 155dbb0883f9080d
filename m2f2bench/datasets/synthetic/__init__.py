"""Faces drawn by code from a seed, with forgeries whose every pixel is known: the embedded default dataset."""
