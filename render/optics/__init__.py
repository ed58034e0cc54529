"""Camera, light, rasterizer, and what a real camera does to a picture."""
