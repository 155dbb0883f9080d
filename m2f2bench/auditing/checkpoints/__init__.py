"""Audit of a checkpoint: what in a detector's weights and network has no part in its scores, or should not have."""
