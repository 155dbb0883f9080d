"""Vision-language models of transformers, zero-shot."""
