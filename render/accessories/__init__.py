"""Meshes and textures of what persons carry and wear besides their clothes. The entrance is `meshes.make_meshes`."""
