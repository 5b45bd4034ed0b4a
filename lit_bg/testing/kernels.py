"""Laws of kernels on their state, random numbers, tuning and resume; and the function that runs all laws."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any

import torch

from lit_bg.energies import Gaussian, Ising
from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.kernels import Info, Kernel, State
from lit_bg.simulators.packing import pack, unpack
from lit_bg.testing.law import Checked, DoesNotApply, Law, require, require_close, run_laws, same, seeded
from lit_bg.testing.moves import DISTRIBUTION_LAWS, KernelCase, move, rows_of

__all__ = ["KERNEL_LAWS", "KernelCase", "check_kernel"]

FEW = 50  # walkers
MARK = 7.0  # a density that no walker has


def leave_the_given_state(case: KernelCase) -> None:
    """Require that a step changes nothing in the state it is given, and returns tensors without a graph."""
    state = move(case, 1, FEW).state
    before = {name: value.clone() for name, value in pack(state).items()}
    new, _ = case.kernel.step(case.energy, state, seeded(4))
    for name, value in pack(state).items():
        require(same(value, before[name]), f"{case.name} changes '{name}' of the state it is given in place: return a new one")
    for name, value in pack(new).items():
        require(
            not value.requires_grad, f"{case.name} returns '{name}' with a graph: detach it, or memory grows with every move"
        )


def obey_random_numbers(case: KernelCase) -> None:
    """Require that equal states and streams give equal moves whatever the global state; other streams give others."""
    state = move(case, 1, FEW).state
    torch.manual_seed(1)
    once, info = case.kernel.step(case.energy, state, seeded(4))
    torch.manual_seed(2)
    again, same_info = case.kernel.step(case.energy, state, seeded(4))
    other, _ = case.kernel.step(case.energy, state, seeded(5))
    for name, value in pack(once).items():
        require(
            same(value, pack(again)[name]),
            f"{case.name} gives another '{name}' for equal streams: draw with the given one alone",
        )
    require(same(info.acceptance, same_info.acceptance), f"{case.name} gives another acceptance for equal streams")
    require(
        not torch.equal(rows_of(once).x, rows_of(other).x),
        f"{case.name} moves alike for different streams: draw with the given one",
    )


def report_acceptance(case: KernelCase) -> None:
    """Require that `Info.acceptance` is one probability for every row."""
    state = move(case, 1, FEW).state
    _, info = case.kernel.step(case.energy, state, seeded(4))
    wanted, found = (FEW * len(case.states),), tuple(info.acceptance.shape)
    require(found == wanted, f"the acceptance of {case.name} has shape {found} and must have {wanted}")
    low, high = float(info.acceptance.min()), float(info.acceptance.max())
    require(low >= 0 and high <= 1, f"the acceptance of {case.name} lies in {low:.4g} to {high:.4g} and must in 0 to 1")


def pass_on_what_it_does_not_use(case: KernelCase) -> None:
    """Require that what generators know of walkers is passed on correctly or not at all: log q only of the new place."""
    state = move(case, 1, FEW).state
    if not isinstance(state, State):
        raise DoesNotApply(f"{case.name} has a state of its own, which no other kernel takes")
    marked = torch.full((FEW,), MARK, dtype=torch.float64)
    given = state._replace(log_q=marked, waited=torch.ones(FEW, 2, dtype=torch.float64))
    new, _ = case.kernel.step(case.energy, given, seeded(8))
    stayed = (new.x == state.x).flatten(1).all(1)
    require(new.waited is not None, f"{case.name} drops how long walkers have waited: pass `waited` on")
    if new.log_q is None:
        return
    generator = generator_of(case.kernel)
    require(
        stayed.all() or generator is not None,
        f"{case.name} passes on log_q of where walkers were: leave it out of the new state",
    )
    if generator is not None:
        expected = generator.log_prob(new.x[~stayed])
        require_close(f"log_q in the state of {case.name}", new.log_q[~stayed], expected, 1e-4, 1e-6, ", that of the new place")
    kept = bool((new.log_q[stayed] == MARK).all())
    require(kept, f"{case.name} changes log_q of walkers that stayed where they were")


def generator_of(kernel: Any) -> Generator | None:
    """Return the generator that a kernel proposes from, or one of its parts does."""
    own = getattr(kernel, "generator", None)
    return own if own is not None else next(iter(getattr(kernel, "generators", [])), None)


def remember_and_forget_tuning(case: KernelCase) -> None:
    """Require that `restore(memory())` gives another kernel the same tuning, and `reset` forgets it."""
    kernel = copy.deepcopy(case.kernel)
    state = move(case, 0, FEW).state
    first = {name: value.clone() for name, value in kernel.memory().items()}
    _, info = kernel.step(case.energy, state, seeded(4))
    kernel.adapt(info)
    kernel.freeze()
    other = copy.deepcopy(case.kernel)
    other.restore(kernel.memory())
    for name, value in kernel.memory().items():
        require(same(value, other.memory()[name]), f"{case.name}.restore does not take up '{name}' of memory()")
    kernel.reset()
    for name, value in kernel.memory().items():
        require(
            name in first and same(value, first[name]), f"{case.name}.reset leaves '{name}' of memory() as tuning has made it"
        )


def resume_bit_for_bit(case: KernelCase) -> None:
    """Require that a run goes on bit for bit in another copy of the kernel, from state, `memory()` and random numbers alone."""
    fresh, x = copy.deepcopy(case.kernel), move(case, 0, FEW).start
    kernel, rng = copy.deepcopy(case.kernel), seeded(6)
    kernel.reset()
    state = kernel.init(case.energy, x, rng)
    for _ in range(3):
        state, info = kernel.step(case.energy, state, rng)
        kernel.adapt(info)
    kernel.freeze()
    kept = {name: value.clone() for name, value in pack(state).items()}
    memory = {name: value.clone() for name, value in kernel.memory().items()}
    place = rng.get_state()
    whole = go_on(kernel, case.energy, state, rng)
    fresh.reset()
    fresh.restore(memory)
    fresh.freeze()
    resumed = go_on(fresh, case.energy, unpack(state, kept), seeded().set_state(place))
    for name, value in pack(whole[0]).items():
        require(
            same(value, pack(resumed[0])[name]),
            f"{case.name} goes on differently after an interruption, in '{name}': keep in its "
            "state, or in memory(), all that its future depends on",
        )
    require(same(whole[1].acceptance, resumed[1].acceptance), f"{case.name} accepts differently after an interruption")


def go_on(kernel: Kernel[Any], energy: Energy, state: Any, rng: torch.Generator) -> tuple[Any, Info]:
    """Return the state after three further moves, and what the last one did."""
    for _ in range(3):
        state, info = kernel.step(energy, state, rng)
    return state, info


KERNEL_LAWS: dict[str, Law[KernelCase]] = {
    **DISTRIBUTION_LAWS,
    "given state": leave_the_given_state,
    "random numbers": obey_random_numbers,
    "acceptance": report_acceptance,
    "what others know": pass_on_what_it_does_not_use,
    "tuning": remember_and_forget_tuning,
    "resume": resume_bit_for_bit,
}


def check_kernel(
    kernel: Kernel[Any],
    energy: Energy | None = None,
    generator: Generator | None = None,
    skip: Collection[str] = (),
    **how: Any,
) -> Checked:
    """Run every law of kernels on one kernel and say all that it breaks.

    Args:
        kernel: the move, with a step size that fits the system; a copy is tried.
        energy: a system with exact samples; None: three correlated normal coordinates, or 3 x 3 Ising spins where the kernel
            refuses these.
        generator: that proposes moves, built for the system, for kernels that need one and have none.
        skip: names of laws, keys of `KERNEL_LAWS`, to leave out.
        how: further arguments of `KernelCase`: moves, forgets_after, walkers, draw, describe, sigma.

    Returns:
        the laws that held, and those that say nothing about this kernel, with the reason.

    Raises:
        AssertionError: laws that are broken, with what is wrong, the value and the limit, one sentence each.
        ValueError: the kernel refuses the system, or a name in `skip` that no law has.

    >>> from lit_bg.kernels import MALA
    >>> "resume" in check_kernel(MALA(1.0), forgets_after=60).held
    True
    """
    kernel = copy.deepcopy(kernel)
    if generator is not None:
        kernel.attach(generator)
    if energy is None:
        energy = Gaussian(3, loc=[1.0, 0.0, -0.5], covariance=[[1.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])
        try:
            kernel.check(energy)
        except ValueError as refusal:
            energy = Ising(3, kT=2.5)
            try:
                kernel.check(energy)
            except ValueError:
                raise refusal from None
    else:
        kernel.check(energy)
    return run_laws(KERNEL_LAWS, KernelCase(kernel, energy, **how), type(kernel).__name__, skip)
