"""Metrics of detection scores: overall and by manipulation method, with intervals and paired tests."""
