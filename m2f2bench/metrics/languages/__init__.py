"""Translation of answers in other languages, word by word, for the readers of verdicts and regions."""
