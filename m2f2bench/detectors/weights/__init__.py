"""Weights: where they come from, how files are read safely, and how they are loaded into networks."""
