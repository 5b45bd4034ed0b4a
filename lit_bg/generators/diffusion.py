"""Diffusions by their probability flow."""

from __future__ import annotations

import torch

from lit_bg.generators.continuous_flow import ContinuousFlow
from lit_bg.generators.normal import Normal
from lit_bg.interpolants.base import Interpolant
from lit_bg.interpolants.variance_preserving import VariancePreserving
from lit_bg.nets.denoiser import Denoiser
from lit_bg.nets.divergence import Divergence
from lit_bg.nets.field import VectorField
from lit_bg.solvers.base import Solver


class Diffusion(ContinuousFlow):
    r"""The probability flow of a diffusion, with exact log q: a `ContinuousFlow` whose velocity comes from a `Denoiser`.

    Train it by `DenoisingScoreMatching`. The flow ends at the last noise of the schedule, and log q is that of its end, so that
    nothing is left out of the weights; the noise that remains costs ESS where the energy is steep. A trained network also
    drives `ReverseDiffusion`, which has the same parameters.

    Args:
        network: F of the denoiser.
        schedule: noise and signal over time; by default VariancePreserving().
        solver, divergence, scale: as of ContinuousFlow.

    Raises:
        ValueError: as of ContinuousFlow and Denoiser.

    References:
        Song et al., ICLR 2021, arXiv:2011.13456.
    """

    field: Denoiser

    def __init__(
        self,
        network: VectorField,
        schedule: Interpolant | None = None,
        solver: Solver | None = None,
        divergence: Divergence | None = None,
        scale: float = 1.0,
    ) -> None:
        schedule = VariancePreserving() if schedule is None else schedule
        super().__init__(Denoiser(network, schedule), start_of(schedule), solver, divergence, scale)


def start_of(schedule: Interpolant) -> Normal:
    """The normal density of noised data of width one at t = 0."""
    sigma, alpha, _ = schedule.coefficients(torch.zeros(1, dtype=torch.float64))
    return Normal((sigma**2 + alpha**2).sqrt().item())
