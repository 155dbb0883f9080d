"""Results and stored rows: their file formats, their units, and the signature that says how they were measured."""
