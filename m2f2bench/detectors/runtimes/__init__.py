"""Detectors that bring their own network: ONNX and TorchScript files, and folders of Hugging Face classifiers."""
