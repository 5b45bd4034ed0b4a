"""Random-walk Metropolis, many walkers at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.rng import stream
from lit_bg.samplers.base import Progress, Simulator, Trajectory
from lit_bg.samplers.start import starting_points


class State(NamedTuple):
    """Walkers, with what the next move needs of them."""

    x: Tensor  # (W, *event_shape) float64
    u: Tensor  # (W,) [kT]
    gradient: Tensor | None = None  # of u, (W, *event_shape), for moves that use it


class Metropolis(Simulator):
    r"""Random-walk Metropolis: $x' = x + \sigma \xi$, accepted with probability $\min(1, e^{u(x) - u(x')})$.

    The proposal is symmetric, so the move is in detailed balance with exp(-u) for every step size. It
    does not cross barriers of many kT: where the modes are far apart the populations of the walkers stay
    those of the start, and R-hat in the data card says so.

    Args:
        frames: saved per walker.
        walkers: side by side.
        stride: steps between frames.
        burn_in: steps before the first frame.
        step_size: sigma, in the units of x.
        start: "modes" (walkers go round the initial configurations of the energy) or the name of one mode.

    Raises:
        ValueError: a number that is not positive.

    References:
        Metropolis, Rosenbluth, Rosenbluth, Teller, Teller, J. Chem. Phys. 21, 1087 (1953), doi:10.1063/1.1699114.
    """

    def __init__(
        self,
        frames: int = 1000,
        walkers: int = 100,
        stride: int = 10,
        burn_in: int = 1000,
        step_size: float = 0.1,
        start: str = "modes",
    ) -> None:
        for name, value in (("frames", frames), ("walkers", walkers), ("stride", stride), ("step_size", step_size)):
            if not value > 0:
                raise ValueError(f"{type(self).__name__} needs {name} > 0, got {value}.")
        if burn_in < 0:
            raise ValueError(f"{type(self).__name__} needs burn_in >= 0, got {burn_in}.")
        self.frames, self.walkers, self.stride, self.burn_in = frames, walkers, stride, burn_in
        self.step_size, self.start = step_size, start

    def check(self, energy: Energy) -> None:
        starting_points(energy, self.walkers, self.start)
        if energy.degrees_of_freedom < energy.dim:
            raise ValueError(
                f"{type(self).__name__} would let the centre of mass of {type(energy).__name__} diffuse without bound: "
                "use a simulator for particles."
            )

    def evaluate(self, energy: Energy, x: Tensor) -> State:
        """The state of walkers at x."""
        with torch.no_grad():
            return State(x, energy(x))

    def propose(self, energy: Energy, old: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """New states, and log [q(x | x') / q(x' | x)], (W,)."""
        noise = torch.randn(old.x.shape, generator=rng, device=rng.device, dtype=old.x.dtype)
        return self.evaluate(energy, old.x + self.step_size * noise), torch.zeros_like(old.u)

    def move(self, energy: Energy, old: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """One step of every walker, and which were accepted, (W,) bool."""
        new, log_ratio = self.propose(energy, old, rng)
        r = torch.rand(len(old.u), generator=rng, device=rng.device, dtype=old.u.dtype)
        accepted = r.log() < old.u - new.u + log_ratio  # false where the new energy is NaN

        def choose(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(accepted.reshape(-1, *[1] * (a.ndim - 1)), a, b)

        pairs = zip(new, old, strict=True)
        return State(*(None if a is None or b is None else choose(a, b) for a, b in pairs)), accepted  # type: ignore[arg-type]

    def run(self, energy: Energy, seed: int, progress: Progress) -> Trajectory:
        self.check(energy)
        rng = stream(seed, "simulate")
        state = self.evaluate(energy, starting_points(energy, self.walkers, self.start).double())
        if not torch.isfinite(state.u).all():
            raise ValueError(f"{type(energy).__name__} has no finite energy at its initial configurations.")
        total = self.burn_in + self.frames * self.stride
        saved = torch.empty(self.frames, *state.x.shape, dtype=torch.float32)
        accepted = torch.zeros((), dtype=torch.float64)
        for step in range(1, total + 1):
            state, moved = self.move(energy, state, rng)
            accepted += moved.double().mean()
            done = step - self.burn_in
            if done > 0 and done % self.stride == 0:
                saved[done // self.stride - 1] = state.x
            if step % max(1, total // 100) == 0 or step == total:
                progress(step, total, f"acceptance {accepted.item() / step:.2f}")
        info: dict[str, float | int | str] = {"acceptance": accepted.item() / total}
        return Trajectory(saved, interval=float(self.stride), info=info)
