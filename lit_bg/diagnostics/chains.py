"""Diagnosis of chains: what frames of walkers say, and whether the walkers agree."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lit_bg.diagnostics.averages import Average, average_without, circular_mean
from lit_bg.diagnostics.energies import EnergyDistance, compare_energies
from lit_bg.diagnostics.findings import Findings
from lit_bg.diagnostics.independence import find_repeats
from lit_bg.diagnostics.knowledge import Knowledge
from lit_bg.diagnostics.modes import EXPECTED, NO_TAIL, share_by_mean
from lit_bg.diagnostics.virial import Virial, find_virial, thin
from lit_bg.energies.base import Energy
from lit_bg.estimators import count_entries, mean_of_walkers, mean_with_error, r_hat, statistical_inefficiency
from lit_bg.samples import Chains

CROSSINGS = 20  # into every mode that counts
CHUNK = 50_000  # configurations in memory beside the frames


class Mixing(NamedTuple):
    """Says how well walkers agree on one series: R-hat, NaN where nothing varies, and independent frames."""

    r_hat: float
    effective: float


@dataclass(frozen=True, kw_only=True)
class ChainFindings(Findings):
    """Holds all that frames of walkers say.

    Attributes:
        frames, walkers: how many.
        repeated: frames that repeat another which is not the one before: copies, and no rejected moves.
        mixing: of "u", of every average "<name>" and of every population "P(name)".
        entries: into each mode by name.
        starts: of each mode by name, the walkers that began in it; None where the system knows no modes.
        virial: None where coordinates have ends, or the energy has no gradient.
        energies: beside those of the reference data; None without them.
        coordinates: of a configuration.
    """

    what = "frames"

    frames: int
    walkers: int
    repeated: int = 0
    mixing: dict[str, Mixing] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] | None = None
    virial: Virial | None = None
    energies: EnergyDistance | None = None
    coordinates: int = 2

    @property
    def n(self) -> float:
        """Return the number of frames of all walkers."""
        return self.frames * self.walkers

    @property
    def effective(self) -> float:
        """Return the number of independent frames, by the series that is correlated longest."""
        return min((m.effective for m in self.mixing.values()), default=self.n)

    @property
    def proper(self) -> bool:
        """Return whether something shows that frames have the temperature of the energy: a virial, or walkers that agree."""
        return self.virial is not None or self.agreement is not None

    def scarce(self, name: str) -> bool:
        """Say whether a mode is expected to hold so few effective samples that its loss would not show."""
        assert self.modes is not None
        return not self.modes[name].value * self.effective >= EXPECTED

    @property
    def agreement(self) -> str | None:
        """Return in words that walkers from different modes agree, where each mode was begun in or is entered often enough."""
        return None if self.silence is not None else "walkers that began in different modes agree"

    @property
    def silence(self) -> str | None:
        nothing = "so that the agreement of walkers shows nothing"
        if self.walkers < 2:
            return "there is one walker, and nobody that it could agree with."
        if self.starts is None:
            return f"the energy knows no modes, {nothing}."
        begun = [name for name, n in self.starts.items() if n > 0]
        if len(begun) < 2:
            where = begun[0] if begun else "none"
            return f"all walkers started in one mode ({where}), {nothing}: start them in different modes."
        for name, began in self.starts.items():
            if self.entries[name] < CROSSINGS and not (began and self.scarce(name)):
                way = "a walker must begin there" if self.entries[name] == 0 else f"{CROSSINGS} times are needed"
                return f"walkers entered {name} {self.entries[name]} times from another mode, {nothing}: {way}."
        return None


def diagnose_chains(
    energy: Energy, chains: Chains, knowledge: Knowledge, reference: tuple[Float[Tensor, "n"], int] | None = None
) -> ChainFindings:
    """Diagnose frames of walkers from their numbers alone.

    Frames without a finite energy, or outside the region that the target covers, are counted and have no other part in it
    than what their observables give: a kernel that is right makes none.

    Args:
        energy: the system; gradients of some frames are evaluated, for the virial.
        chains: frames in order of time.
        knowledge: of the target: populations tell which modes are lost.
        reference: energies of reference frames, one walker after the other, (n,) [kT], and how many walkers these are.
    """
    x, u = chains.x, chains.u.detach().cpu().double()
    frames, walkers = u.shape
    finite = torch.isfinite(u)
    inside = _of_frames(energy.in_region, energy, x)
    u = torch.where(finite, u, u[finite].max() if finite.any() else 0.0)
    mixing = {"u": _mix([u])}
    averages, without = {}, {}
    modes = energy.modes
    label = torch.full(u.shape, -1) if modes is None else _of_frames(modes.label, energy, x)
    names = () if modes is None else modes.names
    for name, observable in energy.observables.items():
        a = _of_frames(observable.function, energy, x).double()
        known = torch.isfinite(a)
        a = torch.where(known, a, a[known].mean() if known.any() else 0.0)
        mixing[f"<{name}>"] = _mix(observable.on_the_line(a))
        value, error = circular_mean(a, observable, mean_of_walkers)
        length = observable.period
        averages[name] = Average(value, error, value, error, NO_TAIL, observable.unit, length)
        without[name] = average_without(a.flatten(), label.flatten(), torch.zeros(a.numel(), dtype=a.dtype), names, length)
    for k, name in enumerate(names):
        mixing[f"P({name})"] = _mix([(label == k).double()])
    shares = starts = None
    entries: dict[str, int] = {}
    if modes is not None:
        draws = min(m.effective for m in mixing.values())
        shares = share_by_mean(names, label, mean_of_walkers, _effective_inside, draws, knowledge.expected)
        entries = dict(zip(names, count_entries(label, len(names)).tolist(), strict=True))
        began = label[0] if chains.start is None else modes.label(chains.start.to(energy.device)).cpu()
        starts = {name: int((began == k).sum()) for k, name in enumerate(names)}
    return ChainFindings(
        n_nonfinite=int((~finite & inside).sum()),
        n_outside=int((~inside).sum()),
        averages=averages,
        without=without,
        modes=shares,
        frames=frames,
        walkers=walkers,
        repeated=_count_copies(x, u.numel() / min(m.effective for m in mixing.values())) if energy.space.continuous else 0,
        mixing=mixing,
        entries=entries,
        starts=starts,
        virial=find_virial(energy, thin(x, walkers), mean_with_error) if finite.all() else None,
        energies=None if reference is None else compare_energies(u, mean_of_walkers, *reference),
        coordinates=energy.space.dim,
    )


def _mix(parts: list[Tensor]) -> Mixing:
    rounds = [r for r in map(r_hat, parts) if not math.isnan(r)]
    g = max(map(statistical_inefficiency, parts))
    return Mixing(max(rounds, default=math.nan), parts[0].numel() / g)


def _effective_inside(inside: Tensor) -> float:
    """Return the independent frames in an event: what its own series has, or all in one walker's stay where nobody crossed."""
    a = inside.double()
    return a.sum().item() / statistical_inefficiency(a)


def _of_frames(function: Callable[[Tensor], Tensor], energy: Energy, x: Tensor) -> Tensor:
    """Return (T, W) values of a function of the configuration, computed where the energy lives, some at a time."""
    parts = x.reshape(-1, *energy.space.shape).split(CHUNK)
    with torch.no_grad():
        return torch.cat([function(part.to(energy.device)).cpu() for part in parts]).reshape(x.shape[:2])


def _count_copies(x: Tensor, memory: float) -> int:
    """Count frames that repeat another; a stay of a walker (rejected moves) counts once, and that at its start not at all.

    Of all frames only equal ones count, because a walker that moves little is near where it was. Among frames so far apart in
    time that walkers have forgotten where they were, near ones do, too.

    Args:
        x: frames of walkers, (T, W, *event_shape).
        memory: frames per independent frame.
    """
    rows = _arrivals(x).flatten(1).contiguous().numpy()
    bytes_of_row = np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))
    equal = len(rows) - len(np.unique(rows.view(bytes_of_row))) if len(rows) else 0
    far = x[:: max(1, math.ceil(memory))]
    near = int(find_repeats(_arrivals(far)).sum()) * len(x) // len(far)
    return max(equal, near)


def _arrivals(x: Tensor) -> Tensor:
    """Return frames that are not where their walker was one frame before, (n, *event_shape); of single frames all."""
    moved = torch.full(x.shape[:2], len(x) == 1, device=x.device)
    moved[1:] = (x[1:] != x[:-1]).flatten(2).any(-1)
    return x[moved].cpu()
