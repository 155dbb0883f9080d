"""Forms in which anybody's data come: folders, manifests, lists, tars, Hugging Face datasets."""
