"""Published weights of the field: the forms of their files, and how they become detectors."""
