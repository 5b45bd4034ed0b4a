"""The common part of moves whose proposals come from a generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.kernels.base import Kernel, Numbers, State, one
from lit_bg.samples import Samples


class FromGenerator(Kernel[State]):
    """Takes proposals from a generator that knows their density; a subclass says how they are used.

    Proposals do not depend on where a walker is, or only through the generator's own map, so barriers are of no account: what
    matters is that the generator proposes every mode. What it cannot propose, these moves never reach.

    Args:
        generator: built for the system; None: that of the run, which `attach` gives.
        context: conditions (C,) that it proposes under, of a generator that follows some.
    """

    uses_density = True
    advice = "look at the proposals of the generator"

    def __init__(self, generator: Generator | None = None, context: Tensor | None = None) -> None:
        self.generator, self.context = generator, context
        self._given = generator is not None

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """Return the dtype of the generator: what it proposes is no more precise."""
        parameter = None if self.generator is None else next(self.generator.parameters(), None)
        return torch.float32 if parameter is None else parameter.dtype

    def attach(self, generator: Generator, context: Tensor | None = None) -> None:
        if not self._given:
            self.generator, self.context = generator, context

    def __repr__(self) -> str:
        own = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        own["generator"] = None if self.generator is None else type(self.generator).__name__  # it may have a thousand lines
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in own.items())})"

    @property
    def proposer(self) -> Generator:
        """Return the generator that proposes the moves.

        Raises:
            ValueError: there is none.
        """
        if self.generator is None:
            raise ValueError(f"{type(self).__name__} proposes what a generator draws, and has none: give it a trained one.")
        return self.generator

    def check(self, energy: Energy) -> None:
        require_density(type(self).__name__, self.proposer, energy)

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> State:
        with torch.no_grad():
            return self.complete(State(x, energy(x)))

    def complete(self, state: State) -> State:
        """Return the state with log q of its walkers and how long they have waited."""
        if state.log_q is None:
            state = state._replace(log_q=self.log_prob(state.x))
        if state.waited is None:
            state = state._replace(waited=torch.zeros(len(state.x), 2, dtype=torch.float64, device=state.x.device))
        return state

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log q, (W,) float64, without a gradient."""
        with torch.no_grad():
            return self.proposer.log_prob(x.to(self.dtype), self.context).double()

    def propose(self, energy: Energy, like: Tensor, times: int, rng: torch.Generator) -> Samples:
        """Draw proposals for every walker, `times` after each other, (times W, *shape), of the type of the walkers."""
        walkers = len(like)
        with torch.no_grad():
            x, log_q = self.proposer.sample(times * walkers, rng, self.context)
            x = x.to(like)
            u = [torch.where(energy.in_region(part), energy(part), torch.inf) for part in x.split(walkers)]
        return Samples(x, log_q.double(), torch.cat(u).double())

    def moved(self, state: State, x: Tensor, u: Tensor, log_q: Tensor | None, stayed: Tensor) -> State:
        """Return the state after a proposal, which may have taken walkers anywhere.

        Gradients, velocities and noises of where walkers came from are not theirs any more.

        Args:
            state: before.
            x, u, log_q: of the walkers now.
            stayed: (W,) bool, walkers that are where they were.
        """
        assert state.waited is not None  # `complete` has filled it in
        now = torch.where(stayed, state.waited[:, 0] + 1, 0.0)
        waited = torch.stack([now, torch.maximum(now, state.waited[:, 1])], 1)
        return State(x, u.to(state.u), log_q=log_q, waited=waited)

    def measure(self, acceptance: Tensor) -> dict[str, Tensor]:
        """Return the sums of a move from its mean probabilities of acceptance."""
        return {"accepted": acceptance, "moves": one(acceptance)}

    def observe(self, energy: Energy, state: State) -> dict[str, Tensor]:
        found = super().observe(energy, state)
        return found if state.waited is None else {**found, "longest_stay": state.waited[:, 1]}

    def status(self, measured: Mapping[str, Tensor]) -> str:
        return f"proposals accepted {acceptance_of(measured):.2g}" if measured else ""

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        return {"proposals_accepted": acceptance_of(measured)}, []


def acceptance_of(measured: Mapping[str, Tensor]) -> float:
    """Return the mean acceptance from the sums of `FromGenerator.measure`."""
    return float(measured["accepted"].mean() / measured["moves"].clamp_min(1))


def require_density(what: str, generator: Generator, energy: Energy) -> None:
    """Refuse a generator whose proposals cannot be corrected to the target.

    Args:
        what: that needs the density, for the message.
        generator: built.
        energy: the system.

    Raises:
        ValueError: no density of a given configuration, or a random estimate of it, or one of another system.
    """
    name = type(generator).__name__
    if not generator.has_log_prob:
        raise ValueError(
            f"{what} needs the density of a given configuration, and {name} has no log_prob: use importance sampling, or a "
            "generator with a density (CouplingFlow, ContinuousFlow)."
        )
    if not generator.exact_density:
        raise ValueError(
            f"{what} needs an exact density, and that of {name} is a random estimate: give it an exact divergence."
        )
    if tuple(generator.event_shape) != tuple(energy.space.shape):
        raise ValueError(
            f"{name} proposes configurations {tuple(generator.event_shape)}, and those of {energy.name} are "
            f"{tuple(energy.space.shape)}: they are two systems."
        )


def log_weights(u: Tensor, log_q: Tensor) -> Tensor:
    """Return -u - log q in double precision, -inf where either is not finite."""
    log_w = -u.double() - log_q.double()
    return torch.where(torch.isfinite(log_w), log_w, -torch.inf)
