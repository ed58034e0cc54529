"""Draws synthetic persons: PIT pairs (image, UV texture) and the `pit_reid` benchmark.

Imports nothing of the other packages but `san_jax.programs`, which needs the standard library only.
"""

from san_jax.programs import refuse_modules

refuse_modules(__name__, __file__)
