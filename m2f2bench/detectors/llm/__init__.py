"""What explainers built on a causal language model share: the LLM, prompts, splicing, generation."""
