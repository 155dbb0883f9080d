"""Verdicts (real or fake) that an answer gives in words."""
