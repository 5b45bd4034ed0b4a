"""Laws of kernels on the distribution: exact samples stay exact, alone and inside of other kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels import Cycle, Exchange, Kernel, Mixture
from lit_bg.testing.law import DoesNotApply, Law, require, require_close, seeded

MOVED = 0.2  # of the walkers, at least, after the moves of a case
INSIDE = 3  # moves inside of another kernel
FEW = 4000  # walkers in laws that repeat the moves


def draw_exactly(energy: Energy, n: int, rng: torch.Generator) -> Tensor:
    """Return independent samples of a system, (n, *shape)."""
    return energy.exact_samples(n, rng)


def describe_configurations(energy: Energy, x: Tensor) -> dict[str, Tensor]:
    """Return numbers of every configuration, (n,) each, whose means distinguish distributions."""
    flat, u = x.flatten(1).double(), energy(x).double()
    found = {"u": u, "u^2": u**2, "sum": flat.sum(1), "r^2": flat.square().sum(1)}
    if flat.shape[1] > 1:
        found["first two"] = flat[:, 0] * flat[:, 1]
    found |= {f"x{i}": flat[:, i] for i in range(min(3, flat.shape[1]))}
    found |= {f"x{i}^2": flat[:, i] ** 2 for i in range(min(3, flat.shape[1]))}
    if energy.modes is not None:
        found["first mode"] = (energy.modes.label(x) == 0).double()
    return found


@dataclass(frozen=True)
class KernelCase:
    """Holds a kernel, and a system of which independent samples are known.

    Args:
        kernel: the move.
        energy: the system.
        moves: of exact samples, after which they are compared with others.
        forgets_after: moves after which walkers that started in one place are equilibrated; 0: that is not looked at.
        walkers: how many.
        draw: independent samples of a system, (energy, n, rng) -> (n, *shape).
        describe: numbers of configurations whose means are compared, (energy, x) -> {name: (n,)}.
        sigma: how many standard errors means may lie apart.
    """

    kernel: Kernel[Any]
    energy: Energy
    moves: int = 10
    forgets_after: int = 0
    walkers: int = 20_000
    draw: Callable[[Energy, int, torch.Generator], Tensor] = draw_exactly
    describe: Callable[[Energy, Tensor], dict[str, Tensor]] = describe_configurations
    sigma: float = 4.0

    @property
    def name(self) -> str:
        """Return what messages call the kernel."""
        return type(self.kernel).__name__

    @property
    def states(self) -> list[Energy]:
        """Return the energies of the replicas of a walker: of most kernels one."""
        return self.kernel.states(self.energy) if isinstance(self.kernel, Exchange) else [self.energy]

    def sample(self, n: int, seed: int) -> Tensor:
        """Return n independent samples in double precision of every state, one state after the other."""
        parts = [self.draw(energy, n, seeded(seed + r)) for r, energy in enumerate(self.states)]
        return torch.cat(parts).double()


class Moved(NamedTuple):
    """Holds walkers before and after some moves, and the log weights of their paths where the kernel gives some."""

    start: Tensor
    state: Any
    log_w: Tensor | None

    @property
    def rows(self) -> Any:
        """Return the state of all rows: of ladders of replicas it is inside."""
        return rows_of(self.state)


def rows_of(state: Any) -> Any:
    """Return the state of all rows of a kernel's state: of ladders of replicas it is inside."""
    return state.rows if hasattr(state, "rows") else state


def move(case: KernelCase, moves: int, n: int, start: Tensor | None = None) -> Moved:
    """Return n walkers after some moves, from exact samples or from given configurations."""
    x = case.sample(n, 10) if start is None else start
    rng, log_w = seeded(3), None
    state = case.kernel.init(case.energy, x, rng)
    for _ in range(moves):
        state, info = case.kernel.step(case.energy, state, rng)
        if info.log_ratio is not None:
            log_w = info.log_ratio if log_w is None else log_w + info.log_ratio
    return Moved(x, state, log_w)


def disagreements(case: KernelCase, x: Tensor, log_w: Tensor | None = None, seed: int = 77) -> list[str]:
    """Say which means over walkers, (R n, *shape), are not those of independent samples of their states.

    Args:
        case: what is compared.
        x: the walkers, state by state.
        log_w: their weights; None: all alike.
        seed: of the independent samples.
    """
    found, n = [], len(x) // len(case.states)
    for r, (energy, rows, others) in enumerate(
        zip(case.states, x.double().split(n), case.sample(n, seed).split(n), strict=True)
    ):
        mine, theirs = case.describe(energy, rows), case.describe(energy, others)
        w = torch.full((n,), 1.0 / n, dtype=torch.float64) if log_w is None else log_w.double().softmax(0)
        for name, a in mine.items():
            b = theirs[name]
            mean = (w * a).sum()
            error = math.sqrt(((w * (a - mean)).square().sum() + b.var() / n).item())
            if not abs((mean - b.mean()).item()) <= case.sigma * error + 1e-6:
                where = f" in state {r}" if len(case.states) > 1 else ""
                found.append(f"<{name}>{where} = {mean:.4f}, exact {b.mean():.4f}, standard error {error:.4f}")
    return found


def leave_exact_samples_exact(case: KernelCase) -> None:
    """Require that exact samples stay exact after some moves, that most move, and that paths have weights if announced."""
    moved = move(case, case.moves, case.walkers)
    share = float((moved.rows.x != moved.start).flatten(1).any(1).double().mean())
    require(share > MOVED, f"{case.name} moved {share:.2g} of the walkers in {case.moves} moves and must move {MOVED}")
    weighed = moved.log_w is not None
    require(
        weighed == case.kernel.weighted,
        f"{case.name} says weighted = {case.kernel.weighted} and {'gives' if weighed else 'does not give'} Info.log_ratio",
    )
    wrong = disagreements(case, moved.rows.x, moved.log_w)
    require(
        not wrong,
        f"{case.name} moved exact samples of {type(case.energy).__name__} out of their distribution, more than "
        f"{case.sigma:g} standard errors after {case.moves} moves: {'; '.join(wrong)}",
    )


def forget_wrong_starts(case: KernelCase) -> None:
    """Require that walkers that all start in one place are exact samples after `forgets_after` moves."""
    if not case.forgets_after:
        raise DoesNotApply(f"after how many moves {case.name} has forgotten its start is not given (forgets_after)")
    n = min(2000, case.walkers // 2)
    start = case.draw(case.energy, 1, seeded(5)).double().expand(n, *case.energy.space.shape).contiguous()
    wrong = disagreements(case, move(case, case.forgets_after, n, start).rows.x)
    require(
        not wrong, f"{case.name} has not forgotten a start in one place after {case.forgets_after} moves: {'; '.join(wrong)}"
    )


def know_the_energies(case: KernelCase) -> None:
    """Require that the state holds u of its walkers, and their gradient where it holds any, in every state."""
    rows = move(case, 3, 50).rows
    parts = list(zip(case.states, rows.x.chunk(len(case.states)), strict=True))
    u = torch.cat([energy(x) for energy, x in parts])
    require_close(f"u in the state of {case.name}", rows.u, u, 1e-6, 1e-6, ", the energy of its walkers")
    if getattr(rows, "gradient", None) is not None:
        gradient = torch.cat([energy.value_and_gradient(x)[1] for energy, x in parts])
        require_close(f"the gradient in the state of {case.name}", rows.gradient, gradient, 1e-5, 1e-5, ", that of its walkers")


def work_inside_of_others(case: KernelCase) -> None:
    """Require that turns with itself, a mixture and an exchange with another temperature leave exact samples exact, too."""
    if case.kernel.replicas > 1:
        raise DoesNotApply(f"{case.name} moves several replicas, and no kernel takes it inside")
    outers: list[Kernel[Any]] = [Cycle([case.kernel, case.kernel]), Mixture([case.kernel])]
    if not case.kernel.weighted:
        outers.append(Exchange(case.kernel, [case.energy.at(1.2 * case.energy.kT)]))
    for outer in outers:
        around = replace(case, kernel=outer)
        outer.check(case.energy)
        moved = move(around, INSIDE, min(FEW, case.walkers // 4))
        wrong = disagreements(around, moved.rows.x, moved.log_w)
        require(
            not wrong,
            f"{case.name} inside of {type(outer).__name__} moves exact samples out of their distribution: {'; '.join(wrong)}",
        )


DISTRIBUTION_LAWS: dict[str, Law[KernelCase]] = {
    "exact samples stay exact": leave_exact_samples_exact,
    "wrong starts are forgotten": forget_wrong_starts,
    "energies of walkers": know_the_energies,
    "inside of others": work_inside_of_others,
}
