"""Forensics Adapter: a small side network that steers the attention of a frozen CLIP."""
