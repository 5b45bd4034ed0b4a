"""Contract of kernels: one move of many walkers that leaves exp(-u) as it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from lit_bg.energies.base import Energy

if TYPE_CHECKING:
    from lit_bg.generators.base import Generator

Numbers = dict[str, Any]  # for the data card
NOTHING: Mapping[str, Tensor] = MappingProxyType({})


class State(NamedTuple):
    """Holds walkers, and all that the future of any local kernel depends on.

    A kernel fills in what it needs and finds missing (it evaluates a gradient, draws Maxwellian velocities) and passes on what
    it does not need, so kernels can take turns on one State. What a move has made wrong it must leave out.
    """

    x: Float[Tensor, "W *shape"]
    u: Float[Tensor, "W"]  # [kT]; NaN for walkers that blew up in the middle of a move
    gradient: Float[Tensor, "W *shape"] | None = None  # of u at x
    velocity: Float[Tensor, "W *shape"] | None = None
    noise: Float[Tensor, "W *shape"] | None = None  # what overdamped dynamics carries over from its last step
    log_q: Float[Tensor, "W"] | None = None  # of the generator that proposes moves, at x [nats]
    waited: Shaped[Tensor, "W 2"] | None = None  # its proposals refused in a row: up to now, and at most so far


class Info(NamedTuple):
    """Says what one move did, for tuning and for the record."""

    acceptance: Float[Tensor, "W"]  # probabilities; 1 where nothing is ever rejected
    measured: Mapping[str, Tensor] = NOTHING  # named sums: whoever drives the kernel adds them up
    parts: tuple[Info | None, ...] = ()  # of the kernels inside, None for one that did not move
    # (W,) of a move that is never refused, log [e^{-u(x')} K(x', x) / e^{-u(x)} K(x, x')]; None: detailed balance makes it zero
    log_ratio: Float[Tensor, "W"] | None = None


S = TypeVar("S")


class Kernel(ABC, Generic[S]):
    """Moves many walkers at once and leaves the distribution exp(-u) as it is.

    It knows neither frames nor burn-in nor files, so simulations, annealing and flows borrow the same moves. A subclass
    defines `init` and `step`; its state is a NamedTuple of tensors with the fields `x` and `u`, and if that is `State`, the
    kernel works with others in `Cycle` and `Mixture`. All other members have defaults that fit a move without a
    memory.
    """

    replicas: int = 1  # configurations of a walker
    evaluations: int = 1  # of the energy in one move, about
    dtype: torch.dtype = torch.float64  # in which walkers move when nobody says otherwise
    starts_relaxed: bool = False  # whether clashes in the starting configurations must be removed first
    adapts: bool = False  # whether `adapt` changes anything
    exact: bool = True  # whether exp(-u) is left as it is, and not only up to an error of the time step
    weighted: bool = False  # whether it is left so only if walkers are weighed by the `log_ratio` of their moves
    uses_density: bool = False  # whether it moves by log q of a generator, and is wrong where that is
    advice: str = "look at the energy there"  # for walkers whose energy is not finite any more

    def check(self, energy: Energy) -> None:
        """Refuse what cannot work, before anything expensive starts.

        Raises:
            ValueError: the kernel cannot move in this system, with the way out.
        """

    def attach(self, generator: Generator, context: Float[Tensor, "C"] | None = None) -> None:
        """Take the generator that proposes moves, with its conditions (C,), unless one is set; by default none is needed."""

    @abstractmethod
    def init(self, energy: Energy, x: Float[Tensor, "W *shape"], rng: torch.Generator) -> S:
        """Return the state of walkers at x, (W, *shape); with several replicas state by state, (R W, *shape)."""

    @abstractmethod
    def step(self, energy: Energy, state: S, rng: torch.Generator) -> tuple[S, Info]:
        """Return the state after one move, and what the move did; the given state is not changed."""

    def duration(self, energy: Energy) -> tuple[float, str] | None:
        """Return the time that passes in a move, with its unit; None: no time passes, and moves are counted."""
        return None

    def adapt(self, info: Info) -> None:
        """Tune the kernel by what its last move did. It spoils the distribution, so it is for burn-in alone."""

    def freeze(self) -> None:
        """End tuning: keep from now on what it has found."""

    def reset(self) -> None:
        """Forget all tuning, so that the same seed gives the same moves."""

    def memory(self) -> dict[str, Tensor]:
        """Return what tuning has found so far, to be kept with the state; `restore` takes it up."""
        return {}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        """Take up what `memory` returned, so that a simulation goes on bit for bit."""

    def status(self, measured: Mapping[str, Tensor]) -> str:
        """Return a short word on how it goes, from the sums so far; they are empty during burn-in."""
        return ""

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        """Return numbers for the data card and problems, in sentences, from the sums of all moves."""
        return {}, []

    def observe(self, energy: Energy, state: S) -> dict[str, Tensor]:
        """Return what is worth looking at in a state, (W, ...) each: `x` and `u` of the walkers."""
        return {"x": state.x, "u": state.u}  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        own = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({own})"


def one(like: Shaped[Tensor, "..."]) -> Float[Tensor, ""]:
    """Return the number 1 in double precision, on the device of `like`, as a term of a count."""
    return torch.ones((), dtype=torch.float64, device=like.device)


def require_continuous(kernel: Kernel[Any], energy: Energy) -> None:
    """Refuse a system on discrete states, where there are neither small steps nor gradients.

    Raises:
        ValueError: what moves there instead.
    """
    if not energy.space.continuous:
        raise ValueError(
            f"{type(kernel).__name__} moves continuous coordinates, and {type(energy).__name__} has {energy.space}: "
            "use SpinFlip."
        )


def choose(accepted: Bool[Tensor, "W"], new: Shaped[Tensor, "W ..."], old: Shaped[Tensor, "W ..."]) -> Shaped[Tensor, "W ..."]:
    """Take the new values where a move was accepted, (W,) bool, and the old ones elsewhere."""
    return torch.where(accepted.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def accept(log_ratio: Float[Tensor, "W"], rng: torch.Generator) -> tuple[Bool[Tensor, "W"], Float[Tensor, "W"]]:
    r"""Return which proposals are accepted with $\min(1, e^r)$, (W,) bool, and that probability; never where r is NaN."""
    log_probability = log_ratio.double().nan_to_num(nan=-torch.inf, neginf=-torch.inf).clamp_max(0)
    r = torch.rand(len(log_ratio), generator=rng, device=rng.device, dtype=torch.float64)
    return r.log() < log_probability, log_probability.exp()
