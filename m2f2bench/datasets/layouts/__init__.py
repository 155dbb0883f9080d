"""Datasets of the field as they are downloaded, a module for each layout."""
