"""What samples at one temperature say of others, by reweighting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lit_bg.estimators import Tail, ess, tail
from lit_bg.estimators.dependent import average, effective_samples, log_norm
from lit_bg.estimators.importance import resolves_averages
from lit_bg.samples import Dependence

Value = tuple[float, float]  # with its standard error, infinite where none is honest


class Weighted(Protocol):
    """Samples of any kind: `Samples`, `Chains` or `Populations`."""

    @property
    def u(self) -> Tensor: ...
    @property
    def log_w(self) -> Tensor: ...
    @property
    def dependence(self) -> Dependence: ...


class Reach(NamedTuple):
    """How far samples reach to another temperature."""

    ess: float  # fraction
    effective: float  # independent samples that those at the other temperature are worth
    tail: Tail  # of the weights
    energy_tail: Tail  # of w |u - <u>|
    resolved: bool  # whether averages have error bars (see `resolves_averages`)


class AtTemperature(NamedTuple):
    """What reweighting says of one temperature."""

    kT: float
    log_Z: Value  # of chains relative to that at their own temperature
    energy: Value  # <U>, in the unit of kT
    heat_capacity: Value  # var(U) / kT^2 of the configurations [k_B]
    modes: tuple[Value, ...]  # probabilities
    reach: Reach


def weights_at(samples: Weighted, kT: float, other: float) -> Tensor:
    r"""Return log weights for another temperature, $\log w' = \log w + u - u'$ with $u' = u\, kT / kT'$, float64.

    Args:
        samples: at kT.
        kT: their temperature.
        other: kT'.

    Raises:
        ValueError: a temperature that is not positive.
    """
    if not other > 0:
        raise ValueError(f"kT must be positive, got {other}.")
    u, log_w = samples.u.detach().double().cpu(), samples.log_w.detach().double().cpu()
    usable = torch.isfinite(u) & torch.isfinite(log_w)
    return torch.where(usable, log_w + torch.where(usable, u, 0.0) * (1 - kT / other), -torch.inf)


def find_reach(samples: Weighted, kT: float, other: float, label: Tensor | None = None, modes: int = 0) -> Reach:
    """Return how far samples at kT reach to another temperature.

    Args:
        samples, kT, other: as for `weights_at`.
        label: mode of each sample, of the shape of u; -1 for none. Changes of mode are mostly the slowest motion of chains.
        modes: how many there are.
    """
    log_w = weights_at(samples, kT, other)
    if torch.isneginf(log_w).all():
        raise ValueError("no configuration has a finite energy, so there is no other temperature to reweight to.")
    slow = [samples.u, *(label == k for k in range(modes) if label is not None)]
    ancestor = getattr(samples, "ancestor", None)
    series = torch.stack([s.detach().cpu().double() for s in slow])
    effective = effective_samples(log_w, samples.dependence, series, ancestor)
    flat = log_w.flatten()
    return Reach(
        ess(flat), effective, tail(flat), tail(flat, samples.u.detach().cpu().flatten()), resolves_averages(flat.softmax(0))
    )


def extrapolate(
    samples: Weighted, kT: float, temperatures: Sequence[float], label: Tensor | None = None, modes: int = 0
) -> list[AtTemperature]:
    r"""Return log Z, mean energy, heat capacity and probabilities of modes at other temperatures, by reweighting.

    With $w' = w e^{u - u'}$: $\log Z(kT') = \log \langle w' \rangle$, $\langle U \rangle = \sum w' U / \sum w'$ and
    $C / k_B = \langle (U - \langle U \rangle)^2 \rangle / kT'^2$. It is exact for any kT' and useful only as far as the weights
    reach: `report.temperatures.judge` says how far.

    Args:
        samples, label, modes: as for `find_reach`.
        kT: temperature of the samples, in the unit of the energy.
        temperatures: kT' wanted.

    Raises:
        ValueError: a temperature that is not positive, or no configuration with a finite energy.

    References:
        Ferrenberg, Swendsen, Phys. Rev. Lett. 61, 2635 (1988), doi:10.1103/PhysRevLett.61.2635.
    """
    found = []
    U = samples.u.detach().double().cpu() * kT
    for other in temperatures:
        reach = find_reach(samples, kT, other, label, modes)
        log_w, of = weights_at(samples, kT, other), samples.dependence
        energy = average(U, log_w, of)
        value, error = average((U - energy[0]) ** 2, log_w, of)  # its mean moves it in second order only
        populations = [average((label == k).double(), log_w, of) for k in range(modes)] if label is not None else []
        capacity = (value / other**2, error / other**2)
        found.append(AtTemperature(other, log_norm(log_w, of), energy, capacity, tuple(populations), reach))
    return found
