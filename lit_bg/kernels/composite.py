"""The common part of kernels made of kernels: each part has its own name in sums and in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Kernel, Numbers, State

if TYPE_CHECKING:
    from lit_bg.generators.base import Generator


class Composite(Kernel[State]):
    """Combines several kernels on one state; a subclass says in which order they move.

    Args:
        kernels: of one replica each, on `State`.

    Raises:
        ValueError: none, or replica exchange among them; from `check`, two ideas of the masses.
    """

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        name = type(self).__name__
        if not kernels:
            raise ValueError(f"{name} needs one kernel at least.")
        if any(kernel.replicas != 1 for kernel in kernels):
            raise ValueError(f"{name} takes kernels of single walkers: put it inside of Exchange, and not Exchange into it.")
        self.kernels = list(kernels)

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """Return single precision, if one of the kernels says that it is enough."""
        return min((kernel.dtype for kernel in self.kernels), key=lambda dtype: torch.finfo(dtype).bits)

    @property
    def starts_relaxed(self) -> bool:  # type: ignore[override]
        return any(kernel.starts_relaxed for kernel in self.kernels)

    @property
    def adapts(self) -> bool:  # type: ignore[override]
        return any(kernel.adapts for kernel in self.kernels)

    @property
    def exact(self) -> bool:  # type: ignore[override]
        return all(kernel.exact for kernel in self.kernels)

    @property
    def weighted(self) -> bool:  # type: ignore[override]
        return any(kernel.weighted for kernel in self.kernels)

    @property
    def uses_density(self) -> bool:  # type: ignore[override]
        return any(kernel.uses_density for kernel in self.kernels)

    @property
    def advice(self) -> str:  # type: ignore[override]
        own = [kernel.advice for kernel in self.kernels if kernel.advice != Kernel.advice]
        return " or ".join(dict.fromkeys(own)) or Kernel.advice

    def attach(self, generator: Generator, context: Tensor | None = None) -> None:
        for kernel in self.kernels:
            kernel.attach(generator, context)

    @property
    def generators(self) -> list[Generator]:
        """Return the generators that propose moves here, each once."""
        found: list[Generator] = []
        for kernel in self.kernels:
            own = kernel.generators if isinstance(kernel, Composite) else [getattr(kernel, "generator", None)]
            found += [g for g in own if g is not None and not any(g is other for other in found)]
        return found

    def check(self, energy: Energy) -> None:
        for kernel in self.kernels:
            kernel.check(energy)
        if len(self.generators) > 1:
            raise ValueError(
                f"kernels that take turns share the density of one generator, and these have {len(self.generators)}: make one "
                "proposal of them (MixtureProposal)."
            )
        given = self.hydrogen_masses
        if len(given) > 1:
            raise ValueError(f"kernels that share velocities need one hydrogen_mass, got {' and '.join(map(str, given))}.")

    @property
    def hydrogen_masses(self) -> set[float | None]:
        """Return the masses of hydrogens that the kernels reckon with, those of nested ones too."""
        found: set[float | None] = set()
        for kernel in self.kernels:
            own = {kernel.hydrogen_mass} if hasattr(kernel, "hydrogen_mass") else set()
            found |= kernel.hydrogen_masses if isinstance(kernel, Composite) else own
        return found

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> State:
        states = []
        for kernel in self.kernels:
            states.append(kernel.init(energy, x, rng))
            if not isinstance(states[-1], State):
                raise ValueError(
                    f"kernels take turns on one State, and {type(kernel).__name__} has a state of its own, "
                    f"{type(states[-1]).__name__}: let it return lit_bg.kernels.State, or use it alone."
                )
        state = states[0]
        for more in states[1:]:  # each fills in what it needs
            state = State(*(b if a is None else a for a, b in zip(state, more, strict=True)))
        return state

    def adapt(self, info: Info) -> None:
        for kernel, part in zip(self.kernels, info.parts, strict=True):
            if part is not None:
                kernel.adapt(part)

    def observe(self, energy: Energy, state: State) -> dict[str, Tensor]:
        return {name: value for kernel in self.kernels for name, value in kernel.observe(energy, state).items()}

    def freeze(self) -> None:
        for kernel in self.kernels:
            kernel.freeze()

    def reset(self) -> None:
        for kernel in self.kernels:
            kernel.reset()

    def memory(self) -> dict[str, Tensor]:
        return named([kernel.memory() for kernel in self.kernels])

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        for k, kernel in enumerate(self.kernels):
            kernel.restore(of_part(memory, k))

    def status(self, measured: Mapping[str, Tensor]) -> str:
        words = (kernel.status(of_part(measured, k)) for k, kernel in enumerate(self.kernels))
        return ", ".join(filter(None, words))

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        info: Numbers = {}
        problems: list[str] = []
        for k, kernel in enumerate(self.kernels):
            own = of_part(measured, k)
            numbers, complaints = kernel.summarise(energy, own) if own else ({}, [])
            info |= {name if name not in info else f"{name}_{k + 1}": value for name, value in numbers.items()}
            problems += complaints
        return info, problems


def named(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of all parts in one mapping, with the number of the part before their name."""
    return {f"{k}.{name}": value for k, part in enumerate(parts) for name, value in part.items()}


def of_part(values: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """Return what belongs to part k of what `named` put together."""
    return {name.removeprefix(f"{k}."): value for name, value in values.items() if name.startswith(f"{k}.")}
