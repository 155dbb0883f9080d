"""Leaderboards: from results to tables in md, csv, tex, html and json."""
