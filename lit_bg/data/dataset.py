"""Reference data: equilibrium frames, their energies, and their card."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from lit_bg.data.card import compare_target, make_card, refusal
from lit_bg.data.reading import as_trajectory, check_finite, read_arrays, read_trajectory
from lit_bg.energies.base import Energy
from lit_bg.estimators.time_series import mean_with_error
from lit_bg.files import atomic
from lit_bg.rng import stream
from lit_bg.simulators.base import Simulator, Trajectory

CARD = ("energy", "kT", "unit", "virial", "frames", "walkers", "statistical_inefficiency")  # what is read from a card


@dataclass
class Dataset:
    """Holds frames of walkers in equilibrium, one walker after the other, each in order of time.

    Every walker has the same number of frames, so an error bar can see their correlation. The file is
    one npz: these arrays, and the card as JSON.
    """

    x: Tensor  # (n, *shape) float32
    u: Tensor  # (n,) [kT] float32
    walker: Tensor  # (n,) long
    frame: Tensor  # (n,) long, time within the walker
    card: dict[str, Any]  # see `make_card`

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def from_trajectory(
        cls, energy: Energy, trajectory: Trajectory, simulator: Simulator | None = None, seed: int | None = None
    ) -> Self:
        """Make a data set with its card; compare a few energies that the simulator knows, or evaluate all where it knows none.

        Frames that were recorded walker by walker are not copied.

        Raises:
            ValueError: frames without a finite energy, or with another energy than the simulator's.
        """
        x = trajectory.x.detach().to("cpu", torch.float32)
        frames, walkers = x.shape[:2]
        flat = x.transpose(0, 1).reshape(-1, *energy.space.shape)
        if trajectory.u is None:
            u = _energies(flat, energy).float()
        else:
            u = trajectory.u.T.flatten().to("cpu", torch.float32)
            check_energies(flat, u, energy, "the simulation")
        card = make_card(energy, replace(trajectory, x=x), u.reshape(walkers, frames).T, simulator, seed)
        return cls(
            x=flat,
            u=u,
            walker=torch.arange(walkers).repeat_interleave(frames),
            frame=torch.arange(frames).repeat(walkers),
            card=card,
        )

    @classmethod
    def load(cls, path: str | Path, energy: Energy, force: bool = False) -> Self:
        """Read our npz, an npz with just an array `x`, or a trajectory in any MD format mdtraj reads.

        Foreign frames, (n, *shape) or (T, W, *shape), are taken to be in order of time; their
        energies are evaluated (and counted) and they get a card.

        Args:
            path: file to read.
            energy: the system the data must belong to; it learns modes that are to be found in data.
            force: accept data whose virial contradicts equilibrium.

        Raises:
            FileNotFoundError: no such file.
            ValueError: unreadable, of another shape, system or temperature, not finite, or refuted by its virial.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no data file {path}: make it with `python -m lit_bg.simulate -c <the yaml>`, "
                "or give another data.path."
            )
        arrays = read_arrays(path) if path.suffix in (".npz", ".npy") else {"x": read_trajectory(path, energy).numpy()}
        if "card" in arrays:
            data = cls._ours(arrays, energy, path)
        else:
            data = cls.from_trajectory(energy, as_trajectory(torch.from_numpy(arrays["x"]), energy, path))
        reason = refusal(data.card)
        if reason is not None and not force:
            raise ValueError(f"the data in {path} are refused: {reason}; data.force=true uses them all the same.")
        return data

    @classmethod
    def _ours(cls, arrays: dict[str, np.ndarray], energy: Energy, path: Path) -> Self:
        card = _read_card(arrays, path)
        x = torch.from_numpy(arrays["x"])
        found = compare_target(card, energy)
        if found.difference is not None:
            raise ValueError(f"the data in {path} are {found.difference}: give other data, or simulate this system.")
        if x.shape[1:] != energy.space.shape:
            raise ValueError(
                f"{path} holds frames of shape {tuple(x.shape[1:])}, {type(energy).__name__} has {energy.space.shape}."
            )
        check_finite(x, path)
        u, walker, frame = (torch.from_numpy(arrays[name]) for name in ("u", "walker", "frame"))
        check_energies(x, u, energy, str(path))
        if found.unknown:
            warnings.warn(
                f"the card of {path} does not say all that tells one {type(energy).__name__} from another ({found.doubt}); "
                "everything else agrees, and so do the energies of a few frames.",
                stacklevel=2,
            )
        if energy.finds_modes and card.get("found_modes"):
            energy.adopt_modes(card["found_modes"])
        return cls(x, u, walker, frame, card)

    def save(self, path: str | Path) -> None:
        """Write one npz file; it appears whole or not at all."""
        arrays = {name: getattr(self, name).cpu().numpy() for name in ("x", "u", "walker", "frame")}
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, card=np.array(json.dumps(self.card, allow_nan=False)), **arrays)

    @property
    def walkers(self) -> int:
        """Return how many walkers there are."""
        return len(self.walker.unique())

    def take(self, mask: Tensor) -> Self:
        """Return the frames where `mask`, (n,) bool, is true; the card stays that of all."""
        return replace(self, x=self.x[mask], u=self.u[mask], walker=self.walker[mask], frame=self.frame[mask], card=self.card)

    def split(self, held_out: float = 0.1) -> tuple[Self, Self]:
        """Split into training and held-out data, never by shuffled frames.

        With five walkers or more whole walkers are held out, chosen at random but always the same.
        Otherwise it is the end of every walker, after a gap of the longest correlation time of the card
        (at most a tenth of the frames).

        Raises:
            ValueError: a fraction that leaves one part empty.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out is a fraction between 0 and 1, got {held_out}.")
        ids = self.walker.unique()
        if len(ids) >= 5:
            n = min(max(round(held_out * len(ids)), 1), len(ids) - 1)
            chosen = ids[torch.randperm(len(ids), generator=stream(0, "split"))[:n]]
            is_held = torch.isin(self.walker, chosen)
            return self.take(~is_held), self.take(is_held)
        first, last = int(self.frame.min()), int(self.frame.max()) + 1
        start = last - max(round(held_out * (last - first)), 1)
        gap = min(math.ceil(max(self.card["statistical_inefficiency"].values())), (last - first) // 10)
        train, held = self.take(self.frame < start - gap), self.take(self.frame >= start)
        if len(train) == 0 or len(held) == 0:
            raise ValueError(
                f"{len(self)} frames of {len(ids)} walkers cannot be split with held_out={held_out}: simulate longer."
            )
        return train, held

    def series(self, values: Tensor) -> Tensor:
        """Return (n,) values of the frames as (T, W)."""
        return values.reshape(self.walkers, -1).T

    def mean(self, values: Tensor) -> tuple[float, float]:
        """Return the mean of one value per frame, (n,), with an error that accounts for the correlation between frames."""
        if len(values) != len(self):
            raise ValueError(f"one value per frame, got {len(values)} values and {len(self)} frames.")
        return mean_with_error(self.series(values))

    def batch(self, n: int, rng: torch.Generator) -> Tensor:
        """Draw `n` frames independently, with replacement."""
        pick = torch.randint(len(self), (n,), generator=rng, device=rng.device)
        return self.x[pick.to(self.x.device)]


def read_kT(path: str | Path) -> float:
    """Return the kT that a data file of ours was simulated at, in the unit of its energy.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is none of ours, and says nothing of a temperature.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no data file {path}: name temperatures in `also` of the ladder, and simulate again.")
    arrays = read_arrays(path) if path.suffix in (".npz", ".npy") else {}
    if "card" not in arrays:
        raise ValueError(f"{path} does not say at which temperature it was simulated: give a file of lit_bg.simulate.")
    return float(_read_card(arrays, path)["kT"])


def _read_card(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """Return the card of a file of ours.

    Raises:
        ValueError: it is damaged, or an array or key that every such file has is missing.
    """
    try:
        card = json.loads(str(arrays["card"]))
        problem = None if isinstance(card, dict) else f"it holds a {type(card).__name__}"
    except (ValueError, RecursionError) as error:
        card, problem = {}, f"{type(error).__name__}: {error}"
    if problem is None:
        missing = [f"card.{key}" for key in CARD if key not in card]
        missing += [name for name in ("u", "walker", "frame") if len(arrays.get(name, ())) != len(arrays["x"])]
        missing += ["card.energy.class"] * (
            not (isinstance(card.get("energy"), dict) and {"class", "parameters"} <= card["energy"].keys())
        )
        problem = f"without {', '.join(missing)}, or of another length" if missing else None
    if problem is not None:
        raise ValueError(
            f"{path} is no whole data file of lit_bg.simulate ({problem}): simulate again, or give "
            "a file with the array x alone."
        )
    return card


def _energies(x: Tensor, energy: Energy) -> Tensor:
    """Return (n,) reduced energies, computed on the device of the energy."""
    with torch.no_grad():
        return torch.cat([energy(part.to(energy.device)).cpu() for part in x.split(8192)])


def check_energies(x: Tensor, u: Tensor, energy: Energy, source: str) -> None:
    """Refuse data of another force field of the same name, by evaluating a few energies again.

    Raises:
        ValueError: they are not those of the source.
    """
    pick = torch.linspace(0, len(x) - 1, 8).long().unique()
    now = _energies(x[pick], energy).float()
    off = (now - u[pick]).abs() - 1e-4 * u[pick].abs()
    if not (off < 0.1).all():
        i = int(off.nan_to_num(torch.inf).argmax())
        raise ValueError(
            f"frame {int(pick[i])} of {source} has u = {u[pick[i]]:.4f} kT there and {now[i]:.4f} under this "
            f"{type(energy).__name__}: its parameters have changed, so simulate again."
        )
