"""Pages for a person to read what stands behind a result."""
