"""Metrics, computed from scores, answers and heat maps. Never imports torch."""
