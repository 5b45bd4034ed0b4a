"""Regression of a velocity field on the velocities of an interpolant."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.interpolants.base import Interpolant
from lit_bg.interpolants.linear import Linear
from lit_bg.losses.base import Batch, Loss
from lit_bg.pairings.base import Independent, Pairing


class FlowMatching(Loss):
    r"""$E\, |v(x_t, t) - \dot x_t|^2 / f$ over times, data $x_1$, base samples $x_0$ and, where there is some, noise.

    Its minimum over v is the velocity that carries the base to the data, and is not zero: what remains is the variance of
    $\dot x_t$ given $x_t$. No equation is solved, and no energy is needed. Times are uniform, one in every interval of 1/B,
    which spreads them evenly over the batch.

    Args:
        interpolant: between base and data; by default straight lines.
        pairing: of base samples and data; by default as drawn.

    Raises:
        ValueError: from `check`, a generator that is no ContinuousFlow.

    References:
        Lipman, Chen, Ben-Hamu, Nickel, Le, ICLR 2023, arXiv:2210.02747.
        Albergo, Boffi, Vanden-Eijnden, J. Mach. Learn. Res. 26 (2025), arXiv:2303.08797.
    """

    needs_data = True
    follows_proposals = False

    def __init__(self, interpolant: Interpolant | None = None, pairing: Pairing | None = None) -> None:
        super().__init__()
        self.interpolant: Interpolant = Linear() if interpolant is None else interpolant
        self.pairing: Pairing = Independent() if pairing is None else pairing

    def check(self, generator: Generator, energy: Energy) -> None:
        super().check(generator, energy)
        if not isinstance(generator, ContinuousFlow):
            raise ValueError(
                f"FlowMatching trains the velocity of a ContinuousFlow, and {type(generator).__name__} has none: use ForwardKL."
            )

    def forward(self, generator: Generator, energy: Energy, batch: Batch, rng: torch.Generator) -> Tensor:
        assert isinstance(generator, ContinuousFlow)  # check has refused
        if batch.data is None:
            raise ValueError("FlowMatching got no data: set data.path, or train from the energy (ReverseKL).")
        x1 = generator.to_unit(batch.data)
        with torch.no_grad():
            x0, _ = generator.prior.sample(len(x1), rng)
            x0, x1 = self.pairing(x0, x1)
            noise = None
            if self.interpolant.latent:
                noise = generator.free(torch.randn(x1.shape, generator=rng, device=x1.device, dtype=x1.dtype))
            u = torch.rand(len(x1), generator=rng, device=x1.device, dtype=x1.dtype)
            t = (torch.arange(len(x1), device=x1.device) + u) / len(x1)
            t = t[torch.randperm(len(t), generator=rng, device=t.device)]  # pairings may have sorted the rows
            x, rate = self.interpolant.at(t, x0, x1, noise)
        return (generator.field(t, x) - rate).square().sum() / (len(x) * generator.degrees_of_freedom)
