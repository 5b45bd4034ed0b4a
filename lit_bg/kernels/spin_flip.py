"""Single-site Metropolis on spins, many walkers at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Kernel, Numbers, State, accept, choose, one
from lit_bg.spaces import Spins


class SpinFlip(Kernel[State]):
    r"""Changes the state of one random site of every walker, accepted with $\min(1, e^{u(x) - u(x')})$, many times.

    The site is one of all with equal probability, and the new state one of the q - 1 others, so the proposal is symmetric. Near
    a critical point such moves are slow: the correlation time grows as $L^{2.17}$ in two dimensions.

    Args:
        sweeps: flips of one move, in units of the number of sites.

    Raises:
        ValueError: fewer than one; from `check`, a system that is not on spins.

    References:
        Metropolis, Rosenbluth, Rosenbluth, Teller, Teller, J. Chem. Phys. 21, 1087 (1953), doi:10.1063/1.1699114.
    """

    def __init__(self, sweeps: int = 1) -> None:
        if sweeps < 1:
            raise ValueError(f"SpinFlip needs sweeps >= 1, got {sweeps}.")
        self.sweeps = sweeps

    def check(self, energy: Energy) -> None:
        if not isinstance(energy.space, Spins):
            raise ValueError(
                f"SpinFlip moves spins, and {type(energy).__name__} has {energy.space}: use Metropolis, MALA, HMC or Langevin."
            )

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> State:
        with torch.no_grad():
            return State(x, energy(x))

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        space, x, u = energy.space, state.x.clone(), state.u
        assert isinstance(space, Spins)
        sites, walkers, rows = space.dim, len(x), torch.arange(len(x), device=x.device)
        flips, values = self.sweeps * sites, space.values.to(x)
        flat = x.view(walkers, -1)  # the same memory
        where = torch.randint(sites, (flips, walkers), generator=rng, device=rng.device)
        by = torch.randint(1, space.states, (flips, walkers), generator=rng, device=rng.device)
        probability = torch.zeros(walkers, dtype=torch.float64, device=x.device)
        with torch.no_grad():
            for site, shift in zip(where, by, strict=True):
                old = flat[rows, site]
                index = torch.searchsorted(values, old)
                flat[rows, site] = values[(index + shift) % space.states]
                proposed = energy(x)
                accepted, p = accept(u.double() - proposed.double(), rng)
                flat[rows, site] = torch.where(accepted, flat[rows, site], old)
                u = choose(accepted, proposed, u)
                probability += p / flips
        return State(x, u, waited=state.waited), Info(probability, {"acceptance": probability, "moves": one(probability)})

    def status(self, measured: Mapping[str, Tensor]) -> str:
        return f"acceptance {_acceptance(measured):.2f}" if measured else "burn-in"

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        return {"acceptance": _acceptance(measured)}, []


def _acceptance(measured: Mapping[str, Tensor]) -> float:
    return float(measured["acceptance"].mean() / measured["moves"].clamp_min(1))
