"""Exact samples of a planar Boltzmann distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


class RejectionGrid:
    r"""Draws exact samples of exp(-u) in the plane: a cell of a fine grid, a point in it, rejection.

    In a cell with centre c and side h the energy is bounded from below by
    $\ell = u(c) - \frac h2 \|\nabla u(c)\|_1 - \epsilon$, where $\epsilon$ covers the curvature. A cell is chosen with
    probability proportional to $e^{-\ell}$, a point x uniformly in it, and kept with probability
    $e^{\ell - u(x)}$: what is kept is distributed exactly as exp(-u), whatever the grid. The bound is
    checked at every point that is proposed.

    Args:
        u: reduced energy, (K, 2) -> (K,), float64.
        center, radius: a square (half side) holding all the probability.
        points: cells along one side.
        slack: epsilon [kT].
    """

    def __init__(
        self,
        u: Callable[[Tensor], Tensor],
        center: tuple[float, float],
        radius: float,
        points: int = 1000,
        slack: float = 0.1,
    ) -> None:
        self.u = u
        self.h = 2 * radius / points
        offset = (torch.arange(points, dtype=torch.float64) + 0.5) * self.h - radius
        self.centers = torch.cartesian_prod(center[0] + offset, center[1] + offset)
        with torch.enable_grad():
            c = self.centers.clone().requires_grad_()
            value = u(c)
            (force,) = torch.autograd.grad(value.sum(), c)
        self.lower = value.detach() - 0.5 * self.h * force.abs().sum(-1) - slack
        self.cdf = torch.softmax(-self.lower, 0).cumsum(0)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw samples, (n, 2) float64.

        Raises:
            RuntimeError: the energy curves more strongly within a cell than the bound allows.
        """
        kept: list[Tensor] = []
        missing = n
        while missing > 0:
            m = math.ceil(1.5 * missing) + 10
            r = torch.rand(m, 4, generator=rng, device=rng.device, dtype=torch.float64).cpu()
            cell = torch.searchsorted(self.cdf, r[:, 0] * self.cdf[-1]).clamp_max(len(self.cdf) - 1)
            x = self.centers[cell] + (r[:, 1:3] - 0.5) * self.h
            log_accept = self.lower[cell] - self.u(x).detach()
            if (log_accept > 0).any():
                raise RuntimeError(
                    f"the energy lies {log_accept.max().item():.3g} kT below its bound in a cell of side {self.h:.3g}: "
                    "use more points."
                )
            kept.append(x[r[:, 3].log() < log_accept][:missing])
            missing -= len(kept[-1])
        return torch.cat(kept).to(rng.device)
