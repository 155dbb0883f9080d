"""HTML pages of one explainer and its answers."""
