"""Random-walk Metropolis, many walkers at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.samplers.adaptation import FEWEST_STEPS, adapt, adapted, begin_adaptation
from lit_bg.samplers.base import Info
from lit_bg.samplers.chain import Chain, Schedule, State
from lit_bg.samplers.motion import centred, device_of
from lit_bg.samplers.start import starting_points


class Metropolis(Chain):
    r"""Random-walk Metropolis: $x' = x + \sigma \xi$, accepted with probability $\min(1, e^{u(x) - u(x')})$.

    The proposal is symmetric, so the move is in detailed balance with exp(-u) for every step size. It
    does not cross barriers of many kT: where the modes are far apart the populations of the walkers stay
    those of the start, and R-hat in the data card says so. Where only differences of positions have an energy, $\xi$ is drawn
    without its mean, and the centre of mass stays at zero.

    Args:
        frames: saved per walker.
        walkers: side by side.
        stride: steps between frames.
        burn_in: steps before the first frame.
        step_size: sigma, in the units of x.
        start: "modes" (walkers go round the initial configurations of the energy), "initial" (all at the first), the
            name of one mode, or "torsions" (a molecule with its backbone torsions drawn uniformly).
        target_acceptance: adapt the step size to this during burn-in, and freeze it then; null: it is as given. In many
            dimensions the best is 0.234 (random walk), 0.574 (MALA), 0.651 (HMC).

    Raises:
        ValueError: a number out of range.

    References:
        Metropolis, Rosenbluth, Rosenbluth, Teller, Teller, J. Chem. Phys. 21, 1087 (1953), doi:10.1063/1.1699114.
        Roberts, Rosenthal, Stat. Sci. 16, 351 (2001), doi:10.1214/ss/1015346320, for the best acceptance.
    """

    def __init__(
        self,
        frames: int = 1000,
        walkers: int = 100,
        stride: int = 10,
        burn_in: int = 1000,
        step_size: float = 0.1,
        start: str = "modes",
        target_acceptance: float | None = None,
    ) -> None:
        name = type(self).__name__
        for key, value in (("frames", frames), ("walkers", walkers), ("stride", stride), ("step_size", step_size)):
            if not value > 0:
                raise ValueError(f"{name} needs {key} > 0, got {value}.")
        if burn_in < 0:
            raise ValueError(f"{name} needs burn_in >= 0, got {burn_in}.")
        if target_acceptance is not None and not 0 < target_acceptance < 1:
            raise ValueError(f"{name} needs a target_acceptance between 0 and 1, got {target_acceptance}.")
        if target_acceptance is not None and burn_in < FEWEST_STEPS:
            raise ValueError(
                f"{name} adapts its step size during burn_in, and {burn_in} steps are too few: give at least "
                f"{FEWEST_STEPS}, or target_acceptance: null."
            )
        self.frames, self.walkers, self.stride, self.burn_in = frames, walkers, stride, burn_in
        self.step_size, self.start, self.target_acceptance = step_size, start, target_acceptance

    def check(self, energy: Energy) -> None:
        starting_points(energy, self.walkers, self.start)

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.burn_in, self.stride)

    def begin(self, energy: Energy, x: Tensor) -> State:
        """The state of walkers at x, (W, *event_shape)."""
        state = self.evaluate(energy, x)
        state["step_size"] = torch.tensor(self.step_size, dtype=torch.float64)
        state["accepted"] = torch.zeros((), dtype=torch.float64, device=x.device)  # sum of the fraction accepted, after burn-in
        state["step"] = torch.zeros((), dtype=torch.long)
        if self.target_acceptance is not None:
            state["adaptation"] = begin_adaptation(self.step_size)
        return state

    def init(self, energy: Energy, seed: int, report: Callable[[str], None]) -> State:
        x = starting_points(energy, self.walkers, self.start, seed).to(device_of(energy), torch.float64)
        state = self.begin(energy, centred(x) if energy.translation_invariant else x)
        if not torch.isfinite(state["u"]).all():
            raise ValueError(f"{type(energy).__name__} has no finite energy at its initial configurations.")
        return state

    def evaluate(self, energy: Energy, x: Tensor) -> State:
        """What a move needs to know of walkers at x: here `x` and `u`."""
        with torch.no_grad():
            return {"x": x, "u": energy(x)}

    def propose(self, energy: Energy, old: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """New walkers, and log [q(x | x') / q(x' | x)], (W,)."""
        new = self.evaluate(energy, old["x"] + float(old["step_size"]) * self.noise(energy, old["x"], rng))
        return new, torch.zeros_like(old["u"])

    def noise(self, energy: Energy, x: Tensor, rng: torch.Generator) -> Tensor:
        """Normal numbers in the degrees of freedom of the system."""
        noise = torch.randn(x.shape, generator=rng, device=rng.device, dtype=x.dtype)
        return centred(noise) if energy.translation_invariant else noise

    def move(self, energy: Energy, state: State, rng: torch.Generator) -> Tensor:
        """One step of every walker, in place; the probabilities with which they were accepted, (W,)."""
        new, log_ratio = self.propose(energy, state, rng)
        log_probability = (state["u"] - new["u"] + log_ratio).nan_to_num(nan=-torch.inf, neginf=-torch.inf).clamp_max(0)
        r = torch.rand(len(log_ratio), generator=rng, device=rng.device, dtype=log_ratio.dtype)
        accepted = r.log() < log_probability
        for name, value in new.items():
            state[name] = torch.where(accepted.reshape(-1, *[1] * (value.ndim - 1)), value, state[name])
        if int(state["step"]) >= self.burn_in:
            state["accepted"] += accepted.double().mean()
        return log_probability.exp()

    def advance(self, energy: Energy, state: State, steps: int, rng: torch.Generator) -> None:
        for _ in range(steps):
            probability = self.move(energy, state, rng)
            state["step"] += 1
            if self.target_acceptance is None or int(state["step"]) > self.burn_in:
                continue
            step_size = adapt(state["adaptation"], probability.mean().item(), self.target_acceptance)
            if int(state["step"]) == self.burn_in:
                step_size = adapted(state["adaptation"])
            state["step_size"].fill_(step_size)

    def _acceptance(self, state: State) -> float:
        return state["accepted"].item() / max(1, int(state["step"]) - self.burn_in)

    def status(self, energy: Energy, state: State) -> str:
        if int(state["step"]) <= self.burn_in:
            return f"burn-in, step size {float(state['step_size']):.3g}"
        return f"acceptance {self._acceptance(state):.2f}"

    def summary(self, energy: Energy, state: State, seconds: float) -> tuple[Info, list[str]]:
        return {"acceptance": self._acceptance(state), "step_size": float(state["step_size"])}, []
