"""Similarity of an answer to its references: BLEU, ROUGE-L, CIDEr, METEOR, SPICE and BERTScore."""
