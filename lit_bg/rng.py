"""Streams of random numbers that depend on the place in a run and on nothing else.

`seed_everything` gives every rank the same stream and a checkpoint holds no generator state. A
stream addressed by (seed, stage, rank, step) mends both: ranks differ, and a resumed run draws what
the uninterrupted one would have drawn, bit for bit.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
import torch


def stream(seed: int, stage: str, rank: int = 0, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of random numbers that is seeded by its address.

    >>> a, b = stream(0, "train", rank=0, step=7), stream(0, "train", rank=1, step=7)
    >>> bool((torch.randn(3, generator=a) == torch.randn(3, generator=b)).any())
    False
    """
    entropy = [seed, zlib.crc32(stage.encode()), rank, step]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state))


class Place(NamedTuple):
    """Says where in a run a step is, and on which device it draws.

    >>> Place(seed=1, step=7).stream("train/noise").initial_seed() == stream(1, "train/noise", step=7).initial_seed()
    True
    """

    seed: int = 0
    rank: int = 0
    step: int = 0
    device: torch.device | str = "cpu"

    def stream(self, purpose: str) -> torch.Generator:
        """Return the stream of a purpose at this place, from its beginning."""
        return stream(self.seed, purpose, self.rank, self.step, self.device)
