"""Other languages in answers, put into English for the readers of verdicts and regions."""
