"""Replica exchange between states, all replicas in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Info, Kernel, Numbers, State, one
from lit_bg.kernels.exchange_report import rates_of, summarise_exchange
from lit_bg.kernels.motion import per_walker
from lit_bg.kernels.replicas import Replicas, cross_energies, group

if TYPE_CHECKING:
    from lit_bg.generators.base import Generator


class Ladders(NamedTuple):
    """Holds W ladders of R replicas, one in every state."""

    rows: Any  # the state of the inner kernel, of R W rows, state by state
    journey: Tensor  # (R, W), goes with a replica: 1 has been in the first state, 2 has since been in the last
    turn: Tensor  # () how many exchanges there were

    @property
    def x(self) -> Tensor:
        """Return the walkers in the first state, (W, *shape)."""
        return self.rows.x[: self.journey.shape[1]]

    @property
    def u(self) -> Tensor:
        """Return their reduced energies, (W,) [kT]."""
        return self.rows.u[: self.journey.shape[1]]


class Exchange(Kernel[Ladders]):
    r"""Moves every replica in its own state, then swaps replicas between neighbouring states (replica exchange).

    A walker is a ladder of replicas, one in every state: the energy that is simulated, and `energies`. A swap of the
    configurations x of state i and y of state j is accepted with probability
    $\min(1, e^{u_i(x) + u_j(y) - u_i(y) - u_j(x)})$; for two temperatures of one system that is
    $e^{(\beta_i - \beta_j)(U(x) - U(y))}$, and nothing is evaluated. Velocities are scaled by $\sqrt{T_{new} / T_{old}}$.
    Even and odd pairs of neighbours take turns, which carries replicas up and down faster than pairs chosen at random. States
    that cross barriers find what others cannot, and swaps bring it down, so slow modes have their equilibrium populations as
    soon as replicas have made round trips.

    Replicas are rows of one batch, those of a state next to each other. States that are one system at several temperatures
    (`energy.at(kT)`) share each evaluation. Ladders never meet, so R-hat between them is honest.

    Args:
        kernel: of the replicas; any that moves single walkers.
        energies: the states besides the one simulated, each next to those it overlaps with.

    Raises:
        ValueError: no other state, or exchange within exchange.

    References:
        Sugita, Okamoto, Chem. Phys. Lett. 314, 141 (1999), doi:10.1016/S0009-2614(99)01123-9.
        Fukunishi, Watanabe, Takada, J. Chem. Phys. 116, 9058 (2002), doi:10.1063/1.1472510, for states that are Hamiltonians.
        Okabe, Kawata, Okamoto, Mikami, Chem. Phys. Lett. 335, 435 (2001), doi:10.1016/S0009-2614(01)00055-0.
        Lingenheil, Denschlag, Mathias, Tavan, Chem. Phys. Lett. 478, 80 (2009), doi:10.1016/j.cplett.2009.07.039, for
        even and odd pairs taking turns.
    """

    def __init__(self, kernel: Kernel, energies: Sequence[Energy]) -> None:
        if not energies:
            raise ValueError("Exchange needs at least one state besides that of the energy.")
        if kernel.replicas != 1:
            raise ValueError(f"Exchange moves single walkers, and {type(kernel).__name__} has {kernel.replicas} replicas.")
        if kernel.weighted:
            raise ValueError(f"{type(kernel).__name__} is exact only with the weights of its paths: give Exchange MALA or HMC.")
        self.kernel, self.energies = kernel, list(energies)
        self._stacked: Replicas | None = None

    @property
    def replicas(self) -> int:  # type: ignore[override]
        return 1 + len(self.energies)

    @property
    def evaluations(self) -> int:  # type: ignore[override]
        return self.kernel.evaluations

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        return self.kernel.dtype

    @property
    def starts_relaxed(self) -> bool:  # type: ignore[override]
        return self.kernel.starts_relaxed

    @property
    def adapts(self) -> bool:  # type: ignore[override]
        return self.kernel.adapts

    @property
    def exact(self) -> bool:  # type: ignore[override]
        return self.kernel.exact

    @property
    def uses_density(self) -> bool:  # type: ignore[override]
        return self.kernel.uses_density

    @property
    def advice(self) -> str:  # type: ignore[override]
        return self.kernel.advice

    def attach(self, generator: Generator, context: Tensor | None = None) -> None:
        self.kernel.attach(generator, context)

    def states(self, energy: Energy) -> list[Energy]:
        """Return the energies of all states, that which is simulated first."""
        return [energy, *self.energies]

    def stack(self, energy: Energy, walkers: int) -> Replicas:
        """Return the energy of all rows."""
        known, states = self._stacked, self.states(energy)
        if known is None or known.walkers != walkers or list(map(id, known.states)) != list(map(id, states)):
            self._stacked = known = Replicas(states, walkers)
        return known

    def check(self, energy: Energy) -> None:
        for state in self.energies:  # walkers live where the simulated one is
            state.to(energy.device)
        self._stacked = None
        Replicas(self.states(energy), 1)
        for state in self.states(energy):
            self.kernel.check(state)

    def duration(self, energy: Energy) -> tuple[float, str] | None:
        return self.kernel.duration(energy)

    def init(self, energy: Energy, x: Tensor, rng: torch.Generator) -> Ladders:
        walkers, left = divmod(len(x), self.replicas)
        if left or not walkers:
            raise ValueError(f"{self.replicas} states need as many configurations for every walker, got {len(x)} in all.")
        rows = self.kernel.init(self.stack(energy, walkers), x, rng)
        journey = torch.zeros(self.replicas, walkers, dtype=torch.long, device=x.device)
        return Ladders(rows, journey, torch.zeros((), dtype=torch.long))

    def step(self, energy: Energy, state: Ladders, rng: torch.Generator) -> tuple[Ladders, Info]:
        rows, info = self.kernel.step(self.stack(energy, state.journey.shape[1]), state.rows, rng)
        moved, swapped = self.swap(energy, state._replace(rows=rows), rng)
        inner = {f"rows.{name}": value for name, value in info.measured.items()}
        return moved, Info(info.acceptance, {**inner, **swapped}, (info,))

    def swap(self, energy: Energy, state: Ladders, rng: torch.Generator) -> tuple[Ladders, dict[str, Tensor]]:
        """Attempt one exchange for every even (or odd, by turns) pair of neighbouring states in every ladder."""
        rungs, walkers = state.journey.shape
        stack = self.stack(energy, walkers)
        x, u = (part.reshape(rungs, walkers, *part.shape[1:]) for part in (state.rows.x, state.rows.u))
        kT = stack.kT.reshape(rungs, walkers)  # type: ignore[attr-defined]
        low = torch.arange(int(state.turn) % min(2, rungs - 1), rungs - 1, 2, device=x.device)
        there = self._swapped_energies(stack, x, u.double() * kT, kT, low)
        log_ratio = (u[low] + u[low + 1]).double() - there[low] - there[low + 1]
        r = torch.rand(log_ratio.shape, generator=rng, device=x.device, dtype=torch.float64)
        swapped = r.log() < log_ratio  # (pairs, W), false for a NaN
        source = torch.arange(rungs, device=x.device)[:, None].repeat(1, walkers)  # where the configuration of a row comes from
        source[low], source[low + 1] = source[low] + swapped.long(), source[low + 1] - swapped.long()
        index = (source * walkers + torch.arange(walkers, device=x.device)).flatten()
        changed = source.flatten() != torch.arange(rungs, device=x.device).repeat_interleave(walkers)
        new_u = torch.where(changed, there.flatten().to(u), u.flatten())
        rows = self._moved(stack, state.rows, index, new_u, rng)
        journey = state.journey.flatten()[index].reshape(rungs, walkers)
        trips = (journey[0] == 2).sum().double()
        journey[0] = 1
        journey[-1] = torch.where(journey[-1] == 1, 2, journey[-1])
        attempts = torch.zeros(2, rungs - 1, dtype=torch.float64, device=x.device)
        attempts[0, low], attempts[1, low] = float(walkers), swapped.sum(1).double()
        measured = {"attempts": attempts[0], "exchanges": attempts[1], "trips": trips, "moves": one(x)}
        measured["replica_moves"] = rungs * walkers * measured["moves"]
        return Ladders(rows, journey, state.turn + 1), measured

    def _swapped_energies(self, stack: Replicas, x: Tensor, potential: Tensor, kT: Tensor, low: Tensor) -> Tensor:
        """Return u of every state of a pair at the configuration of the other, (R, W) float64; 0 where nothing is paired."""
        there = torch.zeros_like(kT)
        if len(set(stack.system)) == 1:
            there[low], there[low + 1] = potential[low + 1] / kT[low], potential[low] / kT[low + 1]
            return there
        for i in low.tolist():
            for a, b in ((i, i + 1), (i + 1, i)):
                if stack.system[a] == stack.system[b]:
                    there[a] = potential[b] / kT[a]
                else:
                    with torch.no_grad():
                        there[a] = stack.states[a](x[b]).double()
        return there

    def _moved(self, stack: Replicas, rows: Any, index: Tensor, u: Tensor, rng: torch.Generator) -> Any:
        """Return the inner state with row k taken from row index[k], and the energies u there."""
        x = rows.x[index]
        if not isinstance(rows, State):  # another kernel's own: whatever it carries is made anew
            return self.kernel.init(stack, x, rng)
        kT = stack.kT
        hotter = (kT / kT[index]).sqrt()  # type: ignore[index]
        gradient = None
        if rows.gradient is not None and len(set(stack.system)) == 1:
            gradient = rows.gradient[index] * per_walker(1 / hotter**2, x)
        velocity, noise = (
            None if part is None else part[index] * per_walker(hotter, x) for part in (rows.velocity, rows.noise)
        )
        log_q = None if rows.log_q is None else rows.log_q[index]
        return State(x, u, gradient, velocity, noise, log_q, rows.waited)

    def adapt(self, info: Info) -> None:
        (part,) = info.parts
        if part is not None:
            self.kernel.adapt(part)

    def freeze(self) -> None:
        self.kernel.freeze()

    def reset(self) -> None:
        self.kernel.reset()

    def memory(self) -> dict[str, Tensor]:
        """Return the memory of the inner kernel, and the temperatures, which a pilot simulation may have placed."""
        inner = {f"rows.{name}": value for name, value in self.kernel.memory().items()}
        return {"kT": torch.tensor([e.kT for e in self.energies], dtype=torch.float64), **inner}

    def restore(self, memory: Mapping[str, Tensor]) -> None:
        self.kernel.restore(_inner(memory))
        if len(set(group(self.energies))) == 1:
            self.energies = [self.energies[0].at(kT) for kT in memory["kT"].tolist()]

    def observe(self, energy: Energy, state: Ladders) -> dict[str, Tensor]:
        """Return walkers in the first state, energies of all replicas there, (W, R), and their modes, (W, R), if there are any.

        Where states are not one system, energies of all replicas are those in all K states, (W, R, K).
        """
        rungs, walkers = state.journey.shape
        states = self.states(energy)
        x, u = state.rows.x.split(walkers), state.rows.u.split(walkers)
        found = {"x": x[0], "u": u[0]}
        if len(set(group(states))) == 1:
            found["u_replicas"] = torch.stack(
                [part.double() * (e.kT / energy.kT) for part, e in zip(u, states, strict=True)], -1
            )
        else:
            cross = []
            for r in range(rungs):  # the state a replica is in comes first, where its energy is known
                order = [states[r], *states[:r], *states[r + 1 :]]
                u_k = cross_energies(order, x[r], u[r])
                cross.append(torch.cat([u_k[1 : r + 1], u_k[:1], u_k[r + 1 :]]).T)
            found["u_replicas"] = torch.stack(cross, 1)
        if energy.modes is not None:
            found["label_replicas"] = energy.modes.label(state.rows.x).reshape(rungs, walkers).T
        return found

    def u_kn(self, energy: Energy, u_replicas: Tensor) -> Tensor:
        """Return reduced energies in all states, (K, ..., R), from what `observe` says of frames, (..., R) or (..., R, K)."""
        states = self.states(energy)
        if len(set(group(states))) > 1:
            return u_replicas.movedim(-1, 0)
        beta = torch.tensor([energy.kT / e.kT for e in states], dtype=torch.float64)
        return beta.reshape(-1, *[1] * u_replicas.ndim) * u_replicas.double()

    def status(self, measured: Mapping[str, Tensor]) -> str:
        inner, text = self.kernel.status(_inner(measured)), f"{self.replicas} states"
        if measured and bool((measured["attempts"] > 0).all()):
            rates = rates_of(measured)
            text += f", exchange {min(rates):.2f} to {max(rates):.2f}, {int(measured['trips'])} round trips"
        return f"{inner}, {text}" if inner else text

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        inner = _inner(measured)
        info, problems = self.kernel.summarise(energy, inner)
        rows = next((len(v) for v in inner.values() if v.ndim), 0)
        if rows:  # of acceptance every state has its own
            parts = [
                {n: v.reshape(self.replicas, -1)[r] if v.ndim and len(v) == rows else v for n, v in inner.items()}
                for r in range(self.replicas)
            ]
            each = [self.kernel.summarise(energy, part)[0] for part in parts]
            info |= {name: [e[name] for e in each] for name in info if "accept" in name}
        more, complaints = summarise_exchange(self.states(energy), measured, self.duration(energy))
        return info | more, problems + complaints


def _inner(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the entries of the inner kernel, without the prefix."""
    return {name.removeprefix("rows."): value for name, value in values.items() if name.startswith("rows.")}
