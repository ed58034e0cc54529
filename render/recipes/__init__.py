"""Recipes: what the pictures of a synthetic dataset show."""
