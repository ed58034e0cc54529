"""Array types and the batch contracts between the data pipeline and the train step.

Everything stays uint8 until it is on the device; augmentation and normalisation run there.
"""

from typing import NotRequired, TypedDict

import jax
import numpy as np
from jaxtyping import Bool, Int32, UInt8

Array = jax.Array | np.ndarray


class ReidBatch(TypedDict):
    """A P x K batch of a reID benchmark: K consecutive rows share an identity.

    `texture` is what the decoder has to regress, whatever it shows (a UV texture, a frontal view, another image); it is
    absent for a baseline, and where the target is the image itself. `image` is what the encoder sees. `camera_id` is
    there only where L_TR draws its positives across cameras.
    """

    image: UInt8[Array, "batch height width 3"]
    label: Int32[Array, " batch"]
    texture: UInt8[Array, "batch texture_height texture_width 3"]
    camera_id: NotRequired[Int32[Array, " batch"]]


class PitBatch(TypedDict):
    """A batch of PIT pairs, without identities; `texture` as in `ReidBatch`."""

    image: UInt8[Array, "batch height width 3"]
    texture: UInt8[Array, "batch texture_height texture_width 3"]


class EvalBatch(TypedDict):
    """A batch of a query or gallery split; `valid` is False on the padding of the last batch."""

    image: UInt8[Array, "batch height width 3"]
    person_id: Int32[Array, " batch"]
    camera_id: Int32[Array, " batch"]
    valid: Bool[Array, " batch"]
