"""Samples from files of any origin: configurations and what their file says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_bg.data.dataset import check_energies
from lit_bg.data.reading import check_finite, read_archive, read_arrays, read_trajectory
from lit_bg.energies.base import Energy
from lit_bg.samples import Chains, Populations, Samples

COLUMNS = ("log_q", "log_w", "u", "ancestor")  # one number per configuration
ROUNDED = {".xtc": 1e-3, ".pdb": 1e-4, ".gro": 1e-3}  # [nm]
OTHERS = ("x", "walker", "frame", "start", "context", "card", "of_paths")
CHUNK = 8192  # configurations whose energy is evaluated at a time
COMPARED = 100  # configurations whose energy is evaluated again, where the file knows all of them


@dataclass
class GivenSamples:
    """Holds configurations with all that their file says of them.

    Every column has the leading shape of x: (n,) of draws, (T, W) of frames of walkers in order of time, (P, N) of populations.

    Attributes:
        x: (..., *event_shape).
        log_q, log_w, u, ancestor: as in the file, or None.
        start: (W, *event_shape) where walkers began.
        context: (C,) conditions under which they were drawn.
        of_paths: log q is that of paths (annealed importance sampling), which no generator knows of.
        unknown: names of arrays that mean nothing here.
        rounding: to which the format has rounded coordinates; 0 where it has not.
    """

    x: Tensor
    lead: tuple[int, ...]
    log_q: Tensor | None = None
    log_w: Tensor | None = None
    u: Tensor | None = None
    ancestor: Tensor | None = None
    start: Tensor | None = None
    context: Tensor | None = None
    of_paths: bool = False
    unknown: list[str] = field(default_factory=list)
    rounding: float = 0.0

    @property
    def flat(self) -> Tensor:
        """Return all configurations in the order of the columns, (n, *event_shape)."""
        return self.x.flatten(0, len(self.lead) - 1)

    def target(self, energy: Energy) -> Energy:
        """Return the energy under the conditions of the samples; itself where these are the usual ones.

        Raises:
            ValueError: conditions that the energy does not have.
        """
        usual = energy.default_context
        other = self.context is not None and (usual is None or not torch.equal(self.context, usual.cpu()))
        return energy.given(self.context) if other else energy

    def evaluate(self, energy: Energy) -> tuple[Tensor, Tensor]:
        """Return the energies of all configurations, (n,) float64, and whether they lie in the region of the target, (n,) bool.

        Raises:
            ValueError: an energy that is -inf.
        """
        return evaluate_configurations(energy, self.flat)

    def as_samples(self, u: Tensor, inside: Tensor) -> Samples | Chains | Populations:
        """Return draws, chains or populations with energies u, (n,) [kT]; some may lie outside the region of the target.

        With ancestors they are populations, with log q proposals, with log weights alone independent draws of an unknown norm,
        with none of them frames of walkers.
        """
        if self.ancestor is not None:
            assert self.log_w is not None  # else the file is refused
            return Populations(self.x, self.log_w, u.reshape(self.lead), self.ancestor)
        bounded = torch.where(inside, u, torch.inf)
        if self.log_q is not None:
            return Samples(self.flat, self.log_q.flatten(), bounded)
        if self.log_w is not None:
            return Samples(self.flat, -u - self.log_w.flatten(), bounded)
        x = self.x if len(self.lead) == 2 else self.x[:, None]
        return Chains(x, u.reshape(x.shape[:2]), self.start)


def load_samples(path: Path, energy: Energy) -> tuple[Energy, Samples | Chains | Populations]:
    """Read samples that are taken at their word, and return the energy under their conditions with them.

    Energies in the file are those of the system, which a hundred of them must bear out; without any all are evaluated. A system
    that finds its modes in frames finds them in these.

    Raises:
        ValueError: as `read_samples`, or energies that are not those of the system at its temperature.
    """
    given = read_samples(path, energy)
    energy = given.target(energy).given()
    if given.u is None:
        u, inside = given.evaluate(energy)
    else:
        u, inside = given.u.flatten(), _in_region(energy, given.flat)
        # clashes are huge, and rounding with them
        lowest = torch.where(torch.isfinite(u) & inside, u, torch.inf).argsort()[: min(COMPARED, int(torch.isfinite(u).sum()))]
        if len(lowest):
            check_energies(given.flat[lowest], u[lowest], energy, str(path))
    samples = given.as_samples(u, inside)
    if samples.dependence == "chains" and energy.finds_modes and (found := energy.find_modes(samples.x)) is not None:
        energy.adopt_modes(found)
    return energy, samples


def evaluate_configurations(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return energies (n,) float64, and whether configurations lie in the region of the target; see `GivenSamples.evaluate`."""
    with torch.no_grad():
        u = torch.cat([energy(part.to(energy.device)).cpu().double() for part in x.split(CHUNK)])
    if torch.isneginf(u).any():
        raise ValueError(f"{type(energy).__name__} gives {int(torch.isneginf(u).sum())} of {len(u)} configurations u = -inf.")
    return u, _in_region(energy, x)


def _in_region(energy: Energy, x: Tensor) -> Tensor:
    return torch.cat([energy.in_region(part.to(energy.device)).cpu() for part in x.split(CHUNK)])


def read_samples(path: Path, energy: Energy, walkers: int | None = None) -> GivenSamples:
    """Read an npz or npy file, or a trajectory in any MD format mdtraj reads with `<path>.weights.npz` beside it.

    The arrays are x, (n, *event_shape) or (T, W, *event_shape), and where they are known log_q, log_w, u and `walker` of every
    configuration, `start` of every walker and `context`; of populations x and log_w are (P, N, ...) and there is `ancestor`.
    Flat configurations take the shape of a column, are sorted by `walker`, or are cut into `walkers` of equal length, one after
    the other.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, empty, of another shape or system, not finite, or columns that do not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file '{path}': give samples as npz (array x), or as a trajectory (xtc, dcd, pdb)."
        )
    arrays, x = _read(path, energy)
    shape = energy.space.shape
    extra = x.ndim - len(shape)
    if extra not in (1, 2) or tuple(x.shape[extra:]) != shape:
        raise ValueError(
            f"{path} holds configurations of shape {tuple(x.shape[1:])}, and those of {type(energy).__name__} have {shape}: "
            f"give x as (n, {', '.join(map(str, shape))}), or (frames, walkers, ...)."
        )
    lead = tuple(x.shape[:extra])
    if 0 in lead:
        raise ValueError(f"{path} holds no configurations.")
    check_finite(x.reshape(-1, *shape), path)
    energy.check_configurations(x.reshape(-1, *shape))
    columns = {name: arrays[name] for name in COLUMNS if name in arrays}
    if extra == 1:
        lead = next((c.shape for c in columns.values() if c.ndim == 2 and c.size == len(x)), lead)
        x = x.reshape(*lead, *shape)
    given = GivenSamples(x, lead, unknown=sorted(set(arrays) - {*COLUMNS, *OTHERS}), rounding=ROUNDED.get(path.suffix, 0.0))
    for name, column in columns.items():
        setattr(given, name, _column(name, column, given.lead, path))
    if "walker" in arrays and len(lead) == 1:
        _sort_by_walker(given, _column("walker", arrays["walker"], lead, path), path)
    if walkers is not None:
        _cut(given, walkers, path)
    if "start" in arrays:
        start = torch.from_numpy(np.asarray(arrays["start"], dtype=np.float32))
        if tuple(start.shape[1:]) != shape or len(given.lead) != 2 or len(start) != given.lead[1]:
            raise ValueError(
                f"start in {path} has shape {tuple(start.shape)}, and must hold one configuration of shape {shape} per walker."
            )
        given.start = start
    if "context" in arrays:
        given.context = torch.from_numpy(np.atleast_1d(np.asarray(arrays["context"], dtype=np.float64)))
    given.of_paths = bool(np.any(arrays.get("of_paths", False)))
    if given.ancestor is not None:
        _check_populations(given, path)
    return given


def _read(path: Path, energy: Energy) -> tuple[dict[str, np.ndarray], Tensor]:
    if path.suffix in (".npz", ".npy"):
        arrays = read_arrays(path)
        return arrays, torch.from_numpy(arrays["x"])
    x = read_trajectory(path, energy)
    beside = path.with_name(path.name + ".weights.npz")
    return (read_archive(beside) if beside.is_file() else {}), x


def _column(name: str, column: np.ndarray, lead: tuple[int, ...], path: Path) -> Tensor:
    if column.dtype.kind not in "fiu":
        raise ValueError(f"{name} in {path} has the type {column.dtype}, which are no numbers.")
    if column.shape != lead and not (column.ndim == 1 and len(lead) == 1 and len(column) == lead[0]):
        raise ValueError(f"{name} in {path} has shape {column.shape}, and must hold one number per configuration, {lead}.")
    whole = name in ("walker", "ancestor")
    return torch.from_numpy(column.astype(np.int64 if whole else np.float64))


def _sort_by_walker(given: GivenSamples, walker: Tensor, path: Path) -> None:
    """Return the frames of walkers side by side, each in the order of the file."""
    counts = torch.unique(walker, return_counts=True)[1]
    if counts.min() != counts.max():
        raise ValueError(
            f"walkers in {path} have {int(counts.min())} to {int(counts.max())} frames: give equally many of each."
        )
    _arrange(given, torch.argsort(walker, stable=True), len(counts))


def _cut(given: GivenSamples, walkers: int, path: Path) -> None:
    if walkers < 1:
        raise ValueError(f"--walkers must be at least 1, got {walkers}.")
    if len(given.lead) == 2:
        if given.lead[1] != walkers:
            raise ValueError(f"--walkers is {walkers}, and {path} holds {given.lead[1]}: leave it out.")
        return
    n = given.lead[0]
    if n % walkers:
        raise ValueError(f"{n} configurations in {path} are no {walkers} walkers of equal length: give another --walkers.")
    _arrange(given, torch.arange(n), walkers)


def _arrange(given: GivenSamples, order: Tensor, walkers: int) -> None:
    """Take configurations in this order, walker after walker, as (T, W)."""
    lead = (len(order) // walkers, walkers)
    for name in ("x", *COLUMNS):
        column = getattr(given, name)
        if column is not None:
            setattr(given, name, column[order].reshape(walkers, lead[0], *column.shape[1:]).transpose(0, 1))
    given.lead = lead


def _check_populations(given: GivenSamples, path: Path) -> None:
    """Raise where particles are not those of populations with weights and ancestors."""
    assert given.ancestor is not None
    if len(given.lead) != 2 or given.log_w is None:
        raise ValueError(f"{path} has ancestors, which are of populations: these have x of shape (P, N, ...) and log_w (P, N).")
    last = given.lead[1] - 1
    if given.ancestor.min() < 0 or given.ancestor.max() > last:
        wrong = int(given.ancestor[(given.ancestor < 0) | (given.ancestor > last)][0])
        raise ValueError(f"{path} names the ancestor {wrong}, and populations of {last + 1} have 0 to {last}.")
    if torch.isposinf(given.log_w).any() or math.isnan(given.log_w.sum().item()):
        raise ValueError(f"log_w in {path} has entries that are NaN or +inf: a particle of no weight has -inf.")
