"""What in a dataset could leak the label or count twice: facts of frames, and what follows from them."""
