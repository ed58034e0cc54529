"""Draws synthetic persons: PIT pairs (image, UV texture) and the `pit_reid` benchmark. Imports none of the other packages."""
