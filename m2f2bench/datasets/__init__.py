"""Datasets: adapters for layouts on disk, the frames a protocol plans, reading ahead."""
