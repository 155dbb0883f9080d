"""Cards: what their YAML may say, where they are found, and the registry of classes that they name."""
