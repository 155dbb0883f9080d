"""Face regions that an answer calls manipulated."""
