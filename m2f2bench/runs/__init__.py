"""Jobs that call a detector on a dataset: run, train, check, merge, export."""
