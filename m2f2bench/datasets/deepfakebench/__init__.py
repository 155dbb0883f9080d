"""DeepfakeBench's preprocessed form, and DF40."""
