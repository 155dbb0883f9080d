"""Metrics of scores: overall and by manipulation, with intervals and paired tests."""
