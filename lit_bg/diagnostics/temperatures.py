"""Reweighting of samples at one temperature to others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_bg.diagnostics.modes import is_lost
from lit_bg.energies.base import Energy
from lit_bg.estimators import Tail, average, effective_samples, ess, log_norm, tail
from lit_bg.estimators.importance import resolves_averages
from lit_bg.samples import Dependence

WithError = tuple[float, float]  # with its standard error, infinite where none is honest


class Weighted(Protocol):
    """Describes samples of any kind: `Samples`, `Chains` or `Populations`."""

    @property
    def u(self) -> Float[Tensor, "*rows"]: ...
    @property
    def log_w(self) -> Float[Tensor, "*rows"]: ...
    @property
    def dependence(self) -> Dependence: ...
    @property
    def ancestor(self) -> Int[Tensor, "P N"] | None: ...


class LabelledModes(NamedTuple):
    """Holds the metastable states that samples lie in."""

    names: tuple[str, ...]
    label: Int[Tensor, "*rows"]  # of each sample, long, of the shape of u; -1 for none
    exact: Callable[[float], Float[Tensor, "K"] | None]  # kT -> probabilities of the states, where they are known

    @classmethod
    def of(cls, energy: Energy, label: Int[Tensor, "*rows"] | None) -> Self | None:
        """Return the modes of a system, at any temperature; None where none are known."""
        if energy.modes is None or label is None:
            return None

        def exact(kT: float) -> Tensor | None:
            modes = energy.at(kT).modes
            return None if modes is None else modes.exact

        return cls(energy.modes.names, label, exact)


class Reach(NamedTuple):
    """Says how far samples reach to another temperature."""

    ess: float  # fraction
    effective: float  # independent samples that those at the other temperature are worth
    tail: Tail  # of the weights
    energy_tail: Tail  # of w |u - <u>|
    resolved: bool  # whether averages have error bars (see `resolves_averages`)
    lost: tuple[str, ...]  # states that hold nothing, or far too little


class AtTemperature(NamedTuple):
    """Holds what reweighting says of one temperature."""

    kT: float
    log_Z: WithError  # of chains relative to that at their own temperature
    energy: WithError  # <U>, in the unit of kT
    heat_capacity: WithError  # var(U) / kT^2 of the configurations [k_B]
    modes: tuple[WithError, ...]  # probabilities
    reach: Reach


def weights_at(samples: Weighted, kT: float, other: float) -> Float[Tensor, "*rows"]:
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


def find_reach(samples: Weighted, kT: float, other: float, states: LabelledModes | None = None) -> Reach:
    """Measure how far samples at kT reach to another temperature.

    No weight can see a state that holds no sample, and its share may be large at another temperature. It is lost unless it is
    known to be too small for the effective samples to show it; at the temperature of the samples themselves the rule is that of
    `share_modes`.

    Args:
        samples, kT, other: as for `weights_at`.
        states: whose changes are mostly the slowest motion of chains.
    """
    log_w = weights_at(samples, kT, other)
    if torch.isneginf(log_w).all():
        raise ValueError("no configuration has a finite energy, so there is no other temperature to reweight to.")
    inside = [] if states is None else [states.label == k for k in range(len(states.names))]
    slow = [torch.where(torch.isfinite(samples.u), samples.u, 0.0), *inside]
    series = torch.stack([s.detach().cpu().double() for s in slow])
    effective = effective_samples(log_w, samples.dependence, series, samples.ancestor)
    flat = log_w.flatten()
    w = flat.softmax(0)
    lost = () if states is None else _find_lost(states, w, other, effective, moved=other != kT)
    of_energy = tail(flat, samples.u.detach().cpu().flatten())
    return Reach(ess(flat), effective, tail(flat), of_energy, resolves_averages(w), lost)


def _find_lost(states: LabelledModes, w: Tensor, kT: float, effective: float, moved: bool) -> tuple[str, ...]:
    exact, label, lost = states.exact(kT), states.label.flatten().cpu(), []
    for k, name in enumerate(states.names):
        inside = (label == k).double()
        raw, value = inside.mean().item(), (w * inside).sum().item()
        known = None if exact is None else (exact[k].item(), 0.0)
        if is_lost(raw, value, 0.0, known, effective) or (known is None and raw == 0 and moved):
            lost.append(name)
    return tuple(lost)


def extrapolate(
    samples: Weighted, kT: float, temperatures: Sequence[float], states: LabelledModes | None = None
) -> list[AtTemperature]:
    r"""Return log Z, mean energy, heat capacity and probabilities of modes at other temperatures, by reweighting.

    With $w' = w e^{u - u'}$: $\log Z(kT') = \log \langle w' \rangle$, $\langle U \rangle = \sum w' U / \sum w'$ and
    $C / k_B = \langle (U - \langle U \rangle)^2 \rangle / kT'^2$. It is exact for any kT' and useful only as far as the weights
    reach: `report.temperatures.judge_temperature` says how far.

    Args:
        samples, states: as for `find_reach`.
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
        reach = find_reach(samples, kT, other, states)
        log_w = weights_at(samples, kT, other)
        of = samples.dependence, samples.ancestor
        energy = average(U, log_w, *of)
        value, error = average((U - energy[0]) ** 2, log_w, *of)  # its mean moves it in second order only
        names = () if states is None else states.names
        populations = [average((states.label == k).double(), log_w, *of) for k in range(len(names)) if states is not None]
        capacity = (value / other**2, error / other**2)
        found.append(AtTemperature(other, log_norm(log_w, *of), energy, capacity, tuple(populations), reach))
    return found
