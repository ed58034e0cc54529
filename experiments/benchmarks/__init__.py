"""What is measured: speed and memory of the training step, the renderer and the scorer, and how good some parts are."""
