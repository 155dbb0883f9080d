"""Metrics of heat maps: against true masks, and against the scores that they explain."""
