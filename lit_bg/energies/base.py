"""The one interface between a physical system and everything else."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from lit_bg.energies.condition import Condition, check_context
from lit_bg.energies.meter import Meter
from lit_bg.identity import Configured
from lit_bg.spaces import Space, Symmetry, Vectors

if TYPE_CHECKING:
    from lit_bg.molecules.rotatable import RotatableBonds
    from lit_bg.molecules.structure import Structure


class Observable(NamedTuple):
    """Names a function of the configuration whose average or free-energy profile is wanted.

    >>> x1 = Observable(lambda x: x[..., 0], unit="nm", range=(-2.0, 2.0))
    """

    function: Callable[[Tensor], Tensor]  # (B, *event_shape) -> (B,)
    unit: str = ""
    range: tuple[float, float] | None = None  # of its free-energy profile; None: no profile
    periodic: bool = False
    exact: float | None = None  # <a> in the Boltzmann distribution, where it is known
    exact_bins: Callable[[Tensor], Tensor] | None = None  # edges (K+1,) -> P of each bin (K,), float64, where it is known

    @property
    def period(self) -> float | None:
        """Return the length of the circle a periodic observable lives on, by default 2 pi; None on the line."""
        if not self.periodic:
            return None
        return 2 * math.pi if self.range is None else self.range[1] - self.range[0]

    def on_the_line(self, a: Float[Tensor, "*rows"]) -> list[Float[Tensor, "*rows"]]:
        """Return values as numbers whose correlation means something: an angle as its cosine and sine."""
        if self.period is None:
            return [a]
        angle = 2 * math.pi * a / self.period
        return [angle.cos(), angle.sin()]


class _Modes(NamedTuple):
    names: tuple[str, ...]
    label: Callable[[Tensor], Tensor]
    exact: Tensor | None = None


class Modes(_Modes):
    """Describes the metastable states of a system by a function that labels configurations.

    Args:
        names: of the states.
        label: of configurations, (B, *event_shape) -> (B,) long, index into names; -1: none of them.
        exact: probabilities in the order of the names, where they are known; any sequence of numbers or a tensor (len(names),).

    Raises:
        ValueError: not one probability for every name.

    >>> Modes(("left", "right"), lambda x: (x[:, 0] > 0).long(), exact=(0.9, 0.1)).exact
    tensor([0.9000, 0.1000], dtype=torch.float64)
    """

    def __new__(cls, names: tuple[str, ...], label: Callable[[Tensor], Tensor], exact: Any = None) -> Modes:
        if exact is not None:
            exact = exact if isinstance(exact, Tensor) else torch.as_tensor(exact, dtype=torch.float64)
            if exact.shape != (len(names),):
                raise ValueError(
                    f"Modes needs one exact probability for each of its {len(names)} names ({', '.join(names)}), got a shape "
                    f"of {tuple(exact.shape)}."
                )
        return super().__new__(cls, names, label, exact)


SINGLE = torch.finfo(torch.float32)


class _Undefined:
    """Stands for the space that a subclass must define, and says so when it is asked for.

    `event_shape = (D,)` instead of it means D coordinates on the line; more numbers could be particles or a field.
    """

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        shape = instance.__dict__.get("event_shape", getattr(owner, "event_shape", None))
        if isinstance(shape, tuple) and len(shape) == 1:
            return Vectors(*shape)
        has = "no space" if isinstance(shape, _Shape) else f"event_shape = {shape} and no space"
        raise TypeError(
            f"{owner.__name__} has {has}: define it in the class, such as space = Vectors(2) for two coordinates, "
            "Particles(N, d), Lattice((L, L)) for a field or Spins((L, L)); all are in lit_bg.spaces."
        )


class _Shape:
    """Returns the shape of a configuration, which the space knows."""

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.space.shape


class Energy(Configured, nn.Module, ABC):
    r"""Defines a system to sample. Calling it gives the reduced energy $u(x) = U(x) / kT$, `(B,)` [kT].

    A subclass defines `space` and `potential`; what else is known of the system (modes, observables, exact values, exact
    samples) it says through the members below, and every diagnostic uses it.

    The space says what a configuration is and holds the reference measure; `log_Z` is the logarithm of the integral of exp(-u)
    in that measure, over `in_region`.

    What tells it from other systems is its class and the arguments of its constructor (`lit_bg.identity.identify`), which are
    noted by themselves. One that changes kT alone, or only how something is computed, is named in `incidental`.
    """

    space: Space = _Undefined()  # type: ignore[assignment]
    event_shape: tuple[int, ...] = _Shape()  # type: ignore[assignment]
    unit: str = "kT"  # of `potential`
    structure: Structure | None = None  # of a molecule: its atoms, bonds and starting positions
    symmetries: frozenset[Symmetry] = frozenset()  # moves of all particles at once that leave U as it is
    conditions: tuple[Condition, ...] = ()  # what u depends on besides x
    incidental: ClassVar[tuple[str, ...]] = ("kT", "modes")  # kT is compared by itself; modes describe a system

    def __init__(self, kT: float = 1.0) -> None:
        super().__init__()
        self.kT = _temperature(kT)
        self.name = type(self).__name__  # what messages and figures call the system
        self.meter = Meter()

    @abstractmethod
    def potential(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        """Return U(x) in the system's own energy unit: (B, *event_shape) -> (B,)."""

    def forward(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        """Return the reduced energy u(x) = U(x) / kT, (B,); counted, because energy calls are the currency of the field."""
        return self._reduced(x, self.kT)

    def _reduced(self, x: Tensor, kT: float | Tensor) -> Tensor:
        self.space.check(x, type(self).__name__)
        u = self.check_values(self.potential(x), x) / kT
        self.meter.values += len(x)
        if u.requires_grad:
            u.register_hook(self._count_gradients)
        return u

    def value_and_gradient(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "B"], Float[Tensor, "B *shape"]]:
        """Return the reduced energies u(x), (B,) [kT], and their gradient, of the shape of x; detached, and counted.

        Dynamics call it in every step. Only the energy may be compiled, never what calls it: a compiled step with a gradient
        inside has been seen to return zero forces without a word.
        """
        with torch.inference_mode(False), torch.enable_grad():
            x = (x.clone() if x.is_inference() else x).detach().requires_grad_()
            u = self(x)
            (gradient,) = torch.autograd.grad(u.sum(), x)
        return u.detach(), gradient

    def potential_and_gradient(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "B"], Float[Tensor, "B *shape"]]:
        """Return U(x), (B,), and its gradient in the system's own unit, as `value_and_gradient` does and counted like it.

        It is what dynamics is made of: forces are the same at every temperature.
        """
        u, gradient = self.value_and_gradient(x)
        return (u, gradient) if self.kT == 1 else (u * self.kT, gradient * self.kT)

    def check_values(self, u: Any, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        """Return what `potential` returned for x, if it is one number per configuration in single or double precision.

        Raises:
            TypeError: it is not, which broadcasting or rounding would hide; the message names the class and the fault.
        """
        name = f"{type(self).__name__}.potential"
        if not isinstance(u, Tensor):
            raise TypeError(
                f"{name} returned {'None' if u is None else 'a ' + type(u).__name__} and must return a tensor (B,)."
            )
        if u.shape != x.shape[:1]:
            way_out = "drop the last axis" if u.shape == (len(x), 1) else "sum over coordinates, not over configurations"
            raise TypeError(
                f"{name} returned the shape {tuple(u.shape)} for {len(x)} configurations, and must return ({len(x)},): "
                f"{way_out}."
            )
        if u.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"{name} returned {u.dtype} and must return float32 or float64, in which differences of energies are resolved."
            )
        return u

    def _count_gradients(self, grad: Tensor) -> None:
        self.meter.gradients += grad.numel()

    @property
    def n_values(self) -> int:
        """Return how many energies were evaluated so far, by all views of this system."""
        return self.meter.values

    @property
    def n_gradients(self) -> int:
        """Return how many forces were evaluated so far, by all views of this system."""
        return self.meter.gradients

    def at(self, kT: float) -> Self:
        """Return a view of the same system at another temperature: it shares parameters, buffers and the count of calls.

        Values of cached properties are not shared, since they may be of this temperature: the view finds its own.
        """
        other = copy.copy(self)
        for name in [n for n in vars(other) if isinstance(getattr(type(other), n, None), cached_property)]:
            del vars(other)[name]
        other.kT = _temperature(kT)
        return other

    def is_view_of(self, other: Energy) -> bool:
        """Return whether both are one system, at two temperatures at most: then one evaluation serves both.

        They share the bill, parameters, buffers and parts, as `at` leaves them, and no argument of the constructor was changed
        since.
        """
        if type(self) is not type(other):
            return False
        mine, theirs = vars(self), vars(other)
        arguments = inspect.signature(type(self).__init__).parameters.keys() & (mine.keys() | theirs.keys())
        names = {"meter", "_parameters", "_buffers", "_modules", *arguments} - {"kT"}
        return all(_same(mine.get(name), theirs.get(name)) for name in names)

    @property
    def device(self) -> torch.device:
        """Return where the parameters and buffers are, and with them walkers; without any, the CPU."""
        tensor = next(itertools.chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def default_context(self) -> Float[Tensor, "C"] | None:
        """Return the conditions that hold where none are given, (C,) float64; None: this system has none."""
        return None

    def given(self, context: Float[Tensor, "C"] | Sequence[float] | None = None) -> Energy:
        """Return a view of the system under fixed conditions, (C,), by default the usual ones; it shares the count of calls.

        What is known exactly it knows under these conditions.

        Raises:
            ValueError: another number of conditions, or one out of its range.
        """
        check_context(self.conditions, None if context is None else torch.as_tensor(context), type(self).__name__)
        return self

    def conditioned(self, x: Float[Tensor, "B *shape"], context: Float[Tensor, "... C"] | None = None) -> Float[Tensor, "B"]:
        """Return reduced energies with conditions for each row, (B, C), or for all, (C,): (B,) [kT]; counted as any others.

        It does not look whether conditions are in range: that would be a host read in every step of training. An energy that
        names `conditions` defines this method, `given` and `default_context`.
        """
        if context is None:
            return self(x)
        if self.conditions:
            raise NotImplementedError(f"{type(self).__name__} names conditions and does not define `conditioned(x, context)`.")
        check_context((), context, type(self).__name__)
        return self(x)

    def get_extra_state(self) -> dict[str, int]:
        return {"n_values": self.meter.values, "n_gradients": self.meter.gradients}

    def set_extra_state(self, state: dict[str, int]) -> None:
        # The test after a training loads an earlier (the best) state: what has been paid since then stays paid.
        self.meter.values = max(self.meter.values, state["n_values"])
        self.meter.gradients = max(self.meter.gradients, state["n_gradients"])

    @property
    def dim(self) -> int:
        """Return the number of coordinates."""
        return self.space.dim

    @property
    def masses(self) -> Float[Tensor, "N"] | None:
        """Return the masses of the particles, (N,), for dynamics; no average depends on them. None: 1 in every coordinate.

        Units fit those of the potential: with kJ/mol and nanometres [amu], and time is in picoseconds.
        """
        return None

    def repartitioned_masses(self, hydrogen_mass: float) -> Float[Tensor, "N"]:
        """Return (N,) masses with every hydrogen as heavy as asked for, at the cost of the atom it is bonded to.

        Raises:
            ValueError: a system without hydrogens, or a mass that leaves their neighbours none.
        """
        raise ValueError(f"hydrogen_mass is for a Molecule, and {type(self).__name__} has no hydrogens: leave it out.")

    @property
    def rotatable_bonds(self) -> RotatableBonds | None:
        """Return the bonds about which a part of the system turns, for `TorsionMoves`; None: there are no bonds."""
        return None

    def start_from_torsions(self, walkers: int, rng: torch.Generator) -> Float[Tensor, "W *shape"]:
        """Return (walkers, *shape) starts whose backbone torsions are drawn uniformly.

        Raises:
            ValueError: a system without a backbone.
        """
        raise ValueError(f"{type(self).__name__} has no peptide backbone to turn: use start: initial.")

    def check_configurations(self, x: Shaped[Tensor, "B ..."]) -> None:
        """Refuse configurations from elsewhere that cannot be of this system (its units, say); here: their shape.

        Raises:
            ValueError: what does not fit.
        """
        self.space.check(x, type(self).__name__)

    def in_region(self, x: Float[Tensor, "B *shape"]) -> Bool[Tensor, "B"]:
        """Say which configurations the target covers, (B,) bool; by default all.

        A potential may be blind to copies of a system that are not it (the mirror image of a molecule). exp(-u) is meant
        inside the region only: a proposal outside has weight zero and is counted, a frame of data outside is of another system.
        """
        return torch.ones(len(x), dtype=torch.bool, device=x.device)

    def find_faults(self, x: Float[Tensor, "B *shape"]) -> dict[str, Bool[Tensor, "B"]]:
        """Return which configurations from elsewhere cannot be of this system, (B,) bool, by what is wrong with them.

        A key is a phrase that ends the sentence "3 of 100 frames have ...", such as "a bond longer than 0.4 nm".
        """
        return {}

    @property
    def box(self) -> Float[Tensor, "2 D"] | None:
        """Return the lower and upper corner, (2, D), of a region with nearly all the probability: for figures and tests."""
        return None

    @property
    def log_Z(self) -> float | None:
        """Return the exact log partition function at this kT, where it is known."""
        return None

    @property
    def observables(self) -> dict[str, Observable]:
        """Return what to average, by name."""
        return {}

    @property
    def modes(self) -> Modes | None:
        """Return the metastable states, where they are known."""
        return None

    finds_modes = False  # whether `modes` are to be found in reference data
    found_modes: Mapping[str, Any] | None = None  # what was found there, where it can stand for the argument `modes`

    def find_modes(self, x: Float[Tensor, "T W *shape"]) -> dict[str, Any] | None:
        """Return what `adopt_modes` needs, as JSON holds it, from equilibrium frames (T, W, *event_shape); None: one mode."""
        return None

    def adopt_modes(self, found: dict[str, Any]) -> None:
        """Set `modes` to what `find_modes` has found."""

    @property
    def initial(self) -> Float[Tensor, "K *shape"] | None:
        """Return configurations to start a simulation from, (K, *event_shape), one per mode where modes are known."""
        return None

    @property
    def bonds(self) -> tuple[tuple[int, int], ...]:
        """Return the pairs of particles that are always near each other; by default none."""
        return ()

    @property
    def has_exact_samples(self) -> bool:
        """Return whether `exact_samples` is implemented."""
        return type(self).exact_samples is not Energy.exact_samples

    def exact_samples(self, n: int, rng: torch.Generator) -> Float[Tensor, "n *shape"]:
        """Draw independent samples of exp(-u) / Z, (n, *event_shape).

        Raises:
            NotImplementedError: no exact sampler is known for this system.
        """
        raise NotImplementedError(f"{type(self).__name__} has no exact sampler: simulate it (lit_bg.simulate).")


def _same(a: Any, b: Any) -> bool:
    """Say whether two arguments are one: plain numbers and words by their value."""
    return a is b or (isinstance(a, (int, float, str, tuple)) and type(a) is type(b) and a == b)


def _temperature(kT: float) -> float:
    """Return kT as a float.

    Raises:
        ValueError: it is not positive, or 1 / kT is no number in single precision.
    """
    if not kT > 0:
        raise ValueError(f"kT must be positive, got {kT}; for molecules give a temperature in kelvin.")
    if not SINGLE.tiny < kT < SINGLE.max:
        raise ValueError(
            f"kT must be a finite number that single precision holds, got {kT}: give it in the unit of the energy."
        )
    return float(kT)
