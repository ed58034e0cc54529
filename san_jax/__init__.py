"""SAN: the network, its losses and training step, checkpoints, embeddings and ranking."""

from san_jax.programs import refuse_modules

refuse_modules(__name__, __file__)
