"""Maximum likelihood on data."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.losses.base import Batch, Loss


class ForwardKL(Loss):
    r"""$J_{ML} = -\langle \log q(x) \rangle_{data}$ [nats], KL(data || q) up to the entropy of the data.

    It covers every mode the data hold, and learns the populations of the data, right or wrong.

    Raises:
        ValueError: the generator has no log_prob, or there are no data.
    """

    needs_data = True
    needs_log_prob = True
    follows_proposals = False

    def forward(self, generator: Generator, energy: Energy, batch: Batch, rng: torch.Generator) -> Tensor:
        return -generator.log_prob(batch.required(self)).mean()
