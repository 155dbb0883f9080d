"""Sources of training images that are made from other images, such as self-blended ones."""
