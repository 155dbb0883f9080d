"""Rows, answers and results: as columns, on disk, and the signature that says how they were measured."""
