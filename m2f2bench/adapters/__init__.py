"""Dataset adapters: one module per layout on disk, all giving `records.Frame`."""
