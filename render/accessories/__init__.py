"""The meshes of what persons carry and wear beside their clothes."""
