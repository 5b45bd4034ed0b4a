"""Maximum likelihood on data."""

from __future__ import annotations

from torch import Tensor

from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch


class ForwardKL(Loss):
    r"""Minimises $J_{ML} = -\langle w \log q(x) \rangle_{data}$ [nats], KL(data || q) up to the entropy of the data.

    It covers every mode the data hold, and learns the populations of the data, right or wrong. Weights w have mean one; under
    conditions q is that of the conditions of each frame.

    Raises:
        ValueError: the generator has no log_prob, or there are no data.
    """

    needs_data = True
    needs_log_prob = True
    follows_proposals = False

    def forward(self, batch: Batch) -> Tensor:
        frames = batch.frames
        return -(frames.weight * self.generator.log_prob(frames.x, frames.context)).mean()
