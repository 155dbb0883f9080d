"""The weights published by the authors of M2F2-Det: import and network."""
