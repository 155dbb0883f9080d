"""Scoring: from stored rows to results, controls, comparisons and validation."""
