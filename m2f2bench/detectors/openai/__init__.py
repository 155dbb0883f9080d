"""Explainers behind an OpenAI-compatible HTTP endpoint."""
