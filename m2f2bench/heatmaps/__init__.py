"""Heat maps of a detector, measured against true masks and against its own scores."""
