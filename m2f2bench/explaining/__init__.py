"""Answers to questions: read from anybody's files or asked of an explainer, scored, compared, beside controls."""
