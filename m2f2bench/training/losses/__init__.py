"""Losses of the methods of the field, each over the outputs of its own network."""
