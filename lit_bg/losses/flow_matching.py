"""Regression of a velocity field on the velocities of an interpolant."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.interpolants.base import Interpolant
from lit_bg.interpolants.linear import Linear
from lit_bg.losses.base import Loss
from lit_bg.losses.batch import Batch
from lit_bg.losses.pairings.base import Independent, Pairing
from lit_bg.losses.times import even_times

NEAR = 0.05  # how far from its base an interpolant may start


class FlowMatching(Loss):
    r"""Minimises $E\, |v(x_t, t) - \dot x_t|^2 / f$ over times, data $x_1$, base samples $x_0$ and, where there is some, noise.

    Its minimum over v is the velocity that carries the base to the data, and is not zero: what remains is the variance of
    $\dot x_t$ given $x_t$. No equation is solved, and no energy is needed. Times are uniform, one in every interval of 1/B,
    which spreads them evenly over the batch. Frames count by their weights.

    Args:
        interpolant: between base and data; by default straight lines.
        pairing: of base samples and data; by default as drawn.

    Raises:
        ValueError: from `build`, a generator that is no ContinuousFlow, an interpolant that does not start at the base, or a
            system that the pairing cannot treat; from the call, conditions or weights with a pairing that is not Independent.

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

    def build(self, generator: Generator, energy: Energy) -> Self:
        if not isinstance(generator, ContinuousFlow):
            raise ValueError(
                f"FlowMatching trains the velocity of a ContinuousFlow, and {type(generator).__name__} has none: use ForwardKL."
            )
        at_base, at_data, _ = (c.item() for c in self.interpolant.coefficients(torch.zeros(1, dtype=torch.float64)))
        if abs(at_base - 1) > NEAR or abs(at_data) > NEAR:
            raise ValueError(
                f"{type(self.interpolant).__name__} starts at {at_base:.3g} x0 + {at_data:.3g} x1, the flow at x0: use it in a "
                "Diffusion, or take another interpolant (Linear)."
            )
        if generator.context and not isinstance(self.pairing, Independent):
            raise ValueError(
                f"data under conditions must meet base samples as drawn: {type(self.pairing).__name__} would make the base "
                "depend on them; use Independent."
            )
        self.pairing.build(generator.view_target(energy))
        self.pairing.check(generator.prior, generator.field)
        return super().build(generator, energy)

    def forward(self, batch: Batch) -> Tensor:
        generator, frames = self.generator, batch.frames
        assert isinstance(generator, ContinuousFlow)  # build has refused
        if not frames.even and not isinstance(self.pairing, Independent):
            raise ValueError(
                f"frames with weights must meet base samples as drawn: {type(self.pairing).__name__} would give the base the "
                "weights of its partners; use Independent."
            )
        units = generator.units
        x1 = units.inward(frames.x)
        with torch.no_grad():
            x0, _ = generator.prior.sample(len(x1), batch.rng("base"))
            x0, x1 = self.pairing(x0, x1)
            t = even_times(x1, batch.rng("times"))
            noise = units.noise(x1, batch.rng("noise")) if self.interpolant.latent else None
            x, rate = self.interpolant.at(t, x0, x1, noise)
        error = generator.field(t, x, generator.scale_context(frames.context, x)) - rate
        return (frames.weight * error.square().flatten(1).sum(-1)).mean() / units.space.dof
