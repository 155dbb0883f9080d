"""Figures and pages that explain a result."""
