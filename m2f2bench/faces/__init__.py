"""Faces in pictures and videos: find them, follow them, choose among them, cut them out."""
