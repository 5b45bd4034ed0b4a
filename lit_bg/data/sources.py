"""Sources of training frames."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from lit_bg.data.dataset import Dataset, read_kT
from lit_bg.data.temperatures import pool_temperatures
from lit_bg.energies.base import Energy
from lit_bg.energies.condition import draw_context
from lit_bg.estimators.mode_balance import balance, check_least_share

LABELLED = 50_000  # frames whose modes are asked for at a time
CONDITIONS = 8  # sets of conditions in one draw of exact samples: each costs the system a quadrature


class WeightedFrames(NamedTuple):
    """Holds configurations that represent the target when each counts by its weight."""

    x: Tensor  # (B, *event_shape)
    weight: Tensor  # (B,) of mean one
    context: Tensor | None = None  # (B, C) conditions that each belongs to
    even: bool = False  # whether all weights are known to be one


class Source(ABC):
    """Hands out training frames, and remembers in checkpoints what a resumed run needs to go on with the same ones."""

    def build(self, energy: Energy) -> Self:
        """Read what is needed of the system; by default nothing is.

        Raises:
            ValueError: the source has no frames of this system, with the way out.
        """
        return self

    def take(self, data: Dataset | None) -> None:
        """Take the training part of the reference data, None where there are none; by default nothing is done with them.

        Raises:
            ValueError: the source cannot do without, or with these.
        """

    @abstractmethod
    def draw(self, n: int, rng: torch.Generator) -> WeightedFrames:
        """Draw n frames on the device of `rng`; the same stream gives the same frames."""

    def to(self, device: torch.device | str) -> Self:
        """Move what is kept to a device; by default nothing is."""
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold: plain numbers, strings and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that `state_dict` returned.

        Raises:
            ValueError: it belongs to another source, with what differs.
        """


class ReferenceData(Source):
    """Draws frames of a data set independently with replacement, all of one weight.

    Args:
        dataset: frames of the target.
        context: conditions that they were sampled under, (C,); None where the system has none.
    """

    def __init__(self, dataset: Dataset, context: Tensor | None = None) -> None:
        self.dataset, self.context = dataset, context
        self._checksum: str | None = None

    def draw(self, n: int, rng: torch.Generator) -> WeightedFrames:
        x = self.dataset.batch(n, rng)
        context = None if self.context is None else self.context.to(x).expand(n, -1)
        return WeightedFrames(x, torch.ones(n, device=x.device, dtype=x.dtype), context, even=True)

    def to(self, device: torch.device | str) -> Self:
        """Move the frames, once: a data set is small against any model's activations."""
        self.state_dict()  # the checksum is taken where they were read
        if self.dataset.x.device != torch.device(device):
            self.dataset.x = self.dataset.x.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        if self._checksum is None:
            self._checksum = f"{zlib.crc32(self.dataset.x.cpu().contiguous().numpy().tobytes()):08x}"
        return {"frames": len(self.dataset), "checksum": self._checksum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        mine = self.state_dict()
        if dict(state) != mine:
            raise ValueError(
                f"the checkpoint was trained on {state.get('frames')} frames with checksum {state.get('checksum')}, and the "
                f"reference data give {mine['frames']} with {mine['checksum']}: give the same data.path and data.held_out, or "
                "start afresh."
            )


class BalancedData(Source):
    r"""Draws frames of the reference data in which every mode has a share of at least `least_share`.

    They stand for $\sum_m s_m\, \pi(x | m)$ and not for the target (see `estimators.balance`): a generator that learns them
    proposes a rare state often, and its weights, which hold its own density, put the populations right. Frames of a rare state
    are few, and likelihood learns them by heart where their share is large (970 frames with a share of 0.2 within 1000 steps of
    512, experiments/alanine_dipeptide_rare.yaml): give them a small one here and let `ReweightedKL` with a larger one take
    over, or add frames of higher temperatures, where the state is less rare, weighted to the target by MBAR.

    Args:
        least_share: least share of every mode that the data hold.
        hotter: files of the same system at other temperatures, such as `<name>_420K.npz` of a ladder's `also`; of the ladders
            that are held out they are left out.

    Raises:
        ValueError: a share that not every mode can have, a system without modes, no reference data, or files of another
            system.
    """

    def __init__(self, least_share: float, hotter: list[str] | None = None) -> None:
        self.least_share = least_share
        self.hotter = [] if hotter is None else hotter
        self.energy: Energy | None = None
        self.reference: ReferenceData | None = None
        self.weight = torch.empty(0, dtype=torch.float64)  # cumulated over the frames

    def build(self, energy: Energy) -> Self:
        self.energy = energy
        return self

    def take(self, data: Dataset | None) -> None:
        if data is None:
            raise ValueError("BalancedData draws from reference data and there are none: set data.path.")
        energy = self.energy
        if energy is None:
            raise RuntimeError("BalancedData does not know the system yet: call build(energy) first.")
        modes = energy.modes
        check_least_share(self.least_share, None if modes is None else modes.names, type(self).__name__, energy.name)
        assert modes is not None
        w = torch.ones(len(data), dtype=torch.float64)
        if self.hotter:
            known = [self._read(path, energy.given(), data) for path in self.hotter]
            data, w = pool_temperatures([data, *known])
        with torch.no_grad():
            label = torch.cat([modes.label(part.to(energy.device)).cpu() for part in data.x.split(LABELLED)])
        self.weight = balance(w, label, len(modes.names), self.least_share).cumsum(0)
        self.reference = ReferenceData(data, energy.default_context)

    @staticmethod
    def _read(path: str, energy: Energy, train: Dataset) -> Dataset:
        """Return the frames of a file at its own temperature, of the walkers that are trained on."""
        data = Dataset.load(path, energy.at(read_kT(path)))
        return data.take(torch.isin(data.walker, train.walker.unique()))

    def draw(self, n: int, rng: torch.Generator) -> WeightedFrames:
        reference = self._taken()
        at = torch.rand(n, generator=rng, device=rng.device, dtype=torch.float64).to(self.weight.device) * self.weight[-1]
        x = reference.dataset.x
        x = x[torch.searchsorted(self.weight, at, right=True).clamp_max(len(x) - 1).to(x.device)]
        context = None if reference.context is None else reference.context.to(x).expand(n, -1)
        return WeightedFrames(x, torch.ones(n, device=x.device, dtype=x.dtype), context, even=True)

    def to(self, device: torch.device | str) -> Self:
        self._taken().to(device)
        self.weight = self.weight.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        return {**self._taken().state_dict(), "least_share": self.least_share}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("least_share") != self.least_share:
            raise ValueError(
                f"the checkpoint was trained on modes of a share of {state.get('least_share')} or more, and this run has "
                f"{self.least_share}: give the same data.source, or start afresh."
            )
        self._taken().load_state_dict({k: v for k, v in state.items() if k != "least_share"})

    def _taken(self) -> ReferenceData:
        if self.reference is None:
            raise RuntimeError("BalancedData has no frames yet: call take(data) first.")
        return self.reference


class ExactSamples(Source):
    """Draws independent exact samples of the system, new ones in every step; under conditions, evenly over their ranges.

    For systems that are known exactly: to see what a generator can learn, apart from how its data were made. The conditions
    are continuous, so that any single one is trained on with probability zero.

    Raises:
        ValueError: from `build`, a system without exact samples.
    """

    def __init__(self) -> None:
        self.energy: Energy | None = None

    def build(self, energy: Energy) -> Self:
        if not energy.has_exact_samples:
            raise ValueError(f"{type(energy).__name__} has no exact samples: simulate it and give data.path.")
        self.energy = energy
        return self

    def draw(self, n: int, rng: torch.Generator) -> WeightedFrames:
        energy = self.energy
        if energy is None:
            raise RuntimeError("ExactSamples does not know the system yet: call build(energy) first.")
        if not energy.conditions:
            x, context = energy.exact_samples(n, rng), None
        else:
            sets = draw_context(energy.conditions, min(CONDITIONS, n), rng)
            sizes = [n // len(sets) + (i < n % len(sets)) for i in range(len(sets))]
            parts = [energy.given(c).exact_samples(size, rng) for c, size in zip(sets.cpu().double(), sizes, strict=True)]
            x = torch.cat(parts)
            context = sets.repeat_interleave(torch.tensor(sizes, device=sets.device), 0, output_size=n).to(x)
        return WeightedFrames(x, torch.ones(n, device=x.device, dtype=x.dtype), context, even=True)
