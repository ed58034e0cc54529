"""Meshes as surfaces, and baking their UV layout."""
