"""How alike an answer is to its references: BLEU, ROUGE-L, CIDEr, METEOR, SPICE and BERTScore."""
