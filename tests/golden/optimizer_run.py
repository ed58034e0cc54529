"""What make_optimizer.py and tests/san_jax/optim_test.py agree on: the run that both do."""

import numpy as np

from tests.golden.weights import inputs

STEPS_PER_EPOCH = 2
WARMUP_EPOCHS = 4
EPOCHS = 16
HALVE_EVERY = 5
WEIGHT_DECAY = 0.05  # larger than the recipe's, so that a decoupled one would be noticed


def gradients(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradients that shrink and grow, so that the maximum of AMSGrad is in force most of the time."""
    scale = np.float32((1.0, 0.3, 0.02)[step % 3] * (3.0 if step == 11 else 1.0))
    return scale * inputs(f"gradient.a.{step}", (3, 4)), scale * inputs(f"gradient.b.{step}", (5,))
