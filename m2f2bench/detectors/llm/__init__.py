"""Parts of explainers that are built on a causal language model: the LLM, prompts, splicing, generation."""
