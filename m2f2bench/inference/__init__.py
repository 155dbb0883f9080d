"""Pictures and videos of one's own: scores, heat maps and answers outside any dataset."""
