"""Inference on single images and videos: scores, heat maps and answers without a dataset."""
