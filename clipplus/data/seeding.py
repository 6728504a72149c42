"""Randomness as a function of a position instead of a saved state.

Whatever is drawn for sample i of epoch e, for update t, or for an evaluation depends on the run's
seed and that position alone. Nothing random is ever stored, and neither the number of loader
workers nor the number of ranks can change what is drawn.
"""

import hashlib
import random
import struct
from typing import Literal

import numpy as np
import torch

Use = Literal["sample", "order", "step", "evaluation", "replacement"]


def mix(seed: int, use: Use, *key: int) -> int:
    """64 well-mixed bits of (seed, use, key).

    Adding seeds up (`seed + epoch`) makes neighbouring runs share streams; hashing does not.

    Args:
        seed: the run's seed.
        use: what the bits are for; different uses never share a stream.
        *key: the position, for example (epoch, index).
    """
    packed = struct.pack(f"<{len(key) + 1}q", seed, *key)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8, person=use.encode()).digest(), "little")


def seed_all(seed: int, use: Use, *key: int) -> None:
    """Seed the global generators of python, numpy and torch (CPU) from (seed, use, key).

    Cheap enough for every sample: `torch.manual_seed` would cost 125 us instead of 1, since it also
    prepares every device. `seed_step` reaches the devices.
    """
    bits = mix(seed, use, *key)
    random.seed(bits)
    np.random.seed(bits & 0xFFFFFFFF)
    torch.default_generator.manual_seed(bits)


def seed_step(seed: int, iteration: int, part: int) -> None:
    """Seed everything that a training step draws, on every device.

    Args:
        seed: the run's seed.
        iteration: optimiser updates done so far.
        part: which of the `ranks * accumulation` parts of the global batch this step computes, so that
            dropout does not depend on how the parts are spread over ranks.
    """
    seed_all(seed, "step", iteration, part)
    torch.manual_seed(mix(seed, "step", iteration, part))
