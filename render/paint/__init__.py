"""The texture of a person."""
