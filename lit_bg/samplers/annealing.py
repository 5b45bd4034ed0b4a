"""The common part of annealed importance sampling and sequential Monte Carlo: a ladder found in a pilot, and paths along it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.kernels.base import Kernel
from lit_bg.kernels.from_generator import require_density
from lit_bg.rng import stream
from lit_bg.samplers.annealed_path import AnnealedPath
from lit_bg.samplers.base import Proposer, Sampler
from lit_bg.samplers.generation import Generation, draw_first, find_next, resample_poor, reweigh
from lit_bg.simulators.base import ReportProgress
from lit_bg.simulators.packing import of_prefix, pack, pack_extra, unpack_extra, with_prefix
from lit_bg.simulators.recorder import Recorder

MOST_LEVELS = 1000
FEWEST_PARTICLES = 16  # of a population
SHORTEST = 1e-12  # step in s
PATIENCE = 2.0  # seconds of a level, after which it is not waited for where a signal asks for an end


Pause = Callable[[float], None]  # since when a level lasts: raises where it must be left


class Stage(NamedTuple):
    """Holds how far annealing has come: everything that the rest of it depends on."""

    s: list[float]  # of the levels known so far, without the first, 0
    tuning: list[dict[str, Tensor]]  # of the kernel, at each
    acceptance: list[float]  # at each, of the fresh particles (of the pilot, while it runs)
    level: int  # that was reached
    pilot: bool  # whether levels are still being looked for
    resampled: int  # times, of all populations
    now: Generation
    seconds: float


class Annealing(Sampler):
    """Carries particles drawn by a generator along an `AnnealedPath`, with the weight of their path.

    A pilot population finds the levels: the next s is the largest that keeps a share `keep` of the effective particles, by
    bisection. There the kernel is tuned to its acceptance. Levels and tuning are then frozen, because a ladder that is found on
    the fly biases log Z, and fresh particles take them. Random numbers are addressed by (seed, level).

    Args:
        kernel: how particles move at a level; any that leaves exp(-u) exactly as it is, or carries the weight of its paths
            (`ULA`).
        pilot: particles of the pilot population.
        moves: of the kernel at a level.
        last_moves: of the kernel at the target itself, where log q is not needed, so that they are cheap; None: as many.
        keep: share of the effective particles that a step may leave.
        through: as for `AnnealedPath`.
        tuning: moves of the pilot at a level, of a kernel that is tuned to an acceptance.

    Raises:
        ValueError: a number out of range; from `check`, a kernel or generator that cannot be corrected to the target; from
            `run`, weights that collapse.
    """

    def __init__(
        self,
        kernel: Kernel,
        pilot: int,
        moves: int,
        keep: float,
        through: float | None,
        tuning: int,
        last_moves: int | None,
    ) -> None:
        name = type(self).__name__
        last_moves = moves if last_moves is None else last_moves
        sizes = {"pilot": pilot, "moves": moves, "tuning": tuning, "last_moves": last_moves}
        for key, value in sizes.items():
            least = FEWEST_PARTICLES if key == "pilot" else 1
            if value < least:
                raise ValueError(f"{name} needs {key} >= {least}, got {value}.")
        if not 0 < keep < 1:
            raise ValueError(f"{name} needs a share keep between 0 and 1 of the effective particles, got {keep}.")
        if kernel.replicas != 1:
            raise ValueError(f"{name} moves single particles: give the kernel of the replicas, not {type(kernel).__name__}.")
        self.kernel, self.pilot, self.moves = kernel, pilot, moves
        self.keep, self.through, self.tuning, self.last_moves = keep, through, tuning, last_moves

    def check(self, proposer: Proposer) -> None:
        name, kernel = type(self).__name__, self.kernel
        if not kernel.exact:
            raise ValueError(
                f"{name} ends exactly at the target, and {type(kernel).__name__} has an error of its time step: use HMC, MALA, "
                "TorsionMoves, or ULA with the weights of its paths."
            )
        path = AnnealedPath(proposer, self.through)
        require_density(name, proposer.generator, proposer.energy)
        kernel.attach(proposer.generator, proposer.context)
        kernel.check(path.at(0.25))
        kernel.check(proposer.energy)

    def anneal(
        self,
        proposer: Proposer,
        shape: tuple[int, int],
        resampling: bool,
        seed: int,
        progress: ReportProgress,
        recorder: Recorder | None,
    ) -> tuple[Stage, AnnealedPath]:
        """Find the ladder, then carry fresh particles along it, of a shape (populations, particles)."""
        self.check(proposer)
        recorder = Recorder() if recorder is None else recorder
        path, energy = AnnealedPath(proposer, self.through), proposer.energy
        if recorder.state is None:
            self.kernel.reset()
            stage = Stage([], [], [], 0, True, 0, draw_first(proposer, (1, self.pilot), seed, "pilot"), 0.0)
        else:
            stage = unpack_stage(energy, path, recorder.state)
        began, before, reported = time.monotonic(), stage.seconds, 0.0

        def pause(since: float) -> None:
            """Leave a level that takes long and is interrupted; the one before is kept."""
            if time.monotonic() - since > PATIENCE and recorder.interrupted:
                recorder.stop(pack_stage(energy, path, stage), f"after level {stage.level}")

        with recorder.listening():
            while stage.pilot or stage.level < len(stage.s):
                if stage.pilot:
                    stage = self._explore(path, stage, seed, pause)
                else:
                    stage = self._follow(path, stage, resampling, seed, pause)
                if stage.pilot and stage.s[-1] >= 1:
                    fresh = draw_first(proposer, shape, seed, "fresh")
                    stage = stage._replace(pilot=False, level=0, acceptance=[], resampled=0, now=fresh)
                stage = stage._replace(seconds=before + time.monotonic() - began)
                finished = not stage.pilot and stage.level == len(stage.s)
                if finished or recorder.due:
                    recorder.save(pack_stage(energy, path, stage))
                if recorder.interrupted and not finished:
                    where = "in the pilot" if stage.pilot else f"of {len(stage.s)}"
                    recorder.stop(pack_stage(energy, path, stage), f"at level {stage.level} {where}")
                if finished or time.monotonic() - reported > 0.2:
                    reported = time.monotonic()
                    progress(*_how_far(stage))
        return stage, path

    def _explore(self, path: AnnealedPath, stage: Stage, seed: int, pause: Pause) -> Stage:
        """Find the next level, and tune the kernel there."""
        s, level = stage.s[-1] if stage.s else 0.0, stage.level + 1
        ahead = find_next(path, s, stage.now, self.keep)
        if level > MOST_LEVELS or (ahead < 1 and ahead - s < SHORTEST):
            raise ValueError(
                f"the weights collapse: at s = {s:.3g} after {level - 1} levels no step keeps {self.keep:g} of the effective "
                "particles, so the generator is too far from the target: train it, or give more particles or a lower keep."
            )
        now = reweigh(path, s, ahead, stage.now)
        now, _ = resample_poor(now, stream(seed, "anneal/pilot/resample", step=level, device=now.x.device))
        kernel = self.kernel
        kernel.reset()
        moves = max(self.tuning, self.moves) if kernel.adapts else self.moves
        now, acceptance = self._moved(path, ahead, now, moves, seed, "anneal/pilot", level, pause, tune=True)
        kernel.freeze()
        return stage._replace(
            s=[*stage.s, ahead],
            tuning=[*stage.tuning, kernel.memory()],
            acceptance=[*stage.acceptance, acceptance],
            level=level,
            now=now,
        )

    def _follow(self, path: AnnealedPath, stage: Stage, resampling: bool, seed: int, pause: Pause) -> Stage:
        """Carry fresh particles to the next level."""
        level = stage.level
        before, s = stage.s[level - 1] if level else 0.0, stage.s[level]
        now, times = reweigh(path, before, s, stage.now), 0
        if resampling:
            now, times = resample_poor(now, stream(seed, "anneal/resample", step=level, device=now.x.device))
        self.kernel.reset()
        self.kernel.restore(stage.tuning[level])
        moves = self.last_moves if s == 1 else self.moves
        now, acceptance = self._moved(path, s, now, moves, seed, "anneal/moves", level, pause)
        return stage._replace(
            acceptance=[*stage.acceptance, acceptance], level=level + 1, resampled=stage.resampled + times, now=now
        )

    def _moved(
        self,
        path: AnnealedPath,
        s: float,
        now: Generation,
        moves: int,
        seed: int,
        purpose: str,
        level: int,
        pause: Pause,
        tune: bool = False,
    ) -> tuple[Generation, float]:
        """Move all particles at one level; return them, and the mean acceptance."""
        kernel: Kernel[Any] = self.kernel
        energy, shape = path.at(s), now.u.shape
        a, b = path.coefficients(s)
        rng = stream(seed, purpose, step=level, device=now.x.device)
        state = kernel.init(energy, now.x.flatten(0, 1), rng)
        log_w, acceptance, since = now.log_w.flatten(), 0.0, time.monotonic()
        for _ in range(moves):
            pause(since)
            state, info = kernel.step(energy, state, rng)
            acceptance += info.acceptance.mean().item() / moves
            if tune:
                kernel.adapt(info)
            if info.log_ratio is not None:
                log_w = log_w + info.log_ratio
        x = state.x.detach()
        if a > 0:  # log q costs far more than u, and follows from it; later it counts a or less, and its rounding with it
            with torch.no_grad():
                u = path.proposer.energy(x).double()
            log_q = (b * u - state.u.double()) / a
        else:
            u, log_q = state.u.double() / b, now.log_q.flatten()
        u = torch.where(path.proposer.energy.in_region(x), u, torch.inf)
        log_w = torch.where(torch.isfinite(u) & torch.isfinite(log_q), log_w, -torch.inf)
        log_q, u, log_w = (part.reshape(shape) for part in (log_q, u, log_w))
        return Generation(x.reshape(*shape, *x.shape[1:]), log_q, u, log_w, now.ancestor), acceptance


def pack_stage(energy: Energy, path: AnnealedPath, stage: Stage) -> dict[str, Tensor]:
    """Return everything that annealing needs to go on, as tensors by name."""
    tuning = {f"{k}.{name}": value for k, found in enumerate(stage.tuning) for name, value in found.items()}
    numbers = [stage.level, int(stage.pilot), stage.resampled, path.meter.values, path.meter.gradients]
    return {
        **with_prefix("now", pack(stage.now)),
        **with_prefix("tuning", tuning),
        "s": torch.tensor(stage.s, dtype=torch.float64),
        "acceptance": torch.tensor(stage.acceptance, dtype=torch.float64),
        "numbers": torch.tensor(numbers),
        "seconds": torch.tensor(stage.seconds, dtype=torch.float64),
        "energy": pack_extra(energy),
    }


def unpack_stage(energy: Energy, path: AnnealedPath, kept: dict[str, Tensor]) -> Stage:
    """Take up a recorded stage.

    Raises:
        ValueError: its energies are not those of this system.
    """
    now = Generation(**of_prefix("now", kept))
    x, then = now.x.flatten(0, 1)[:32], now.u.flatten()[:32]
    with torch.no_grad():
        here = torch.where(energy.in_region(x), energy(x), torch.inf).double()
    finite = torch.isfinite(then) & torch.isfinite(here)
    if not ((here - then).abs() < 0.1 + 1e-4 * then.abs())[finite].all():
        raise ValueError(
            f"the unfinished sampling has energies that this {energy.name} does not give: it has changed, so start again with "
            "--force."
        )
    unpack_extra(energy, kept["energy"])
    level, pilot, resampled, path.meter.values, path.meter.gradients = kept["numbers"].tolist()
    s = kept["s"].tolist()
    tuning = [of_prefix(f"{k}", of_prefix("tuning", kept)) for k in range(len(s))]
    return Stage(s, tuning, kept["acceptance"].tolist(), level, bool(pilot), resampled, now, float(kept["seconds"]))


def _how_far(stage: Stage) -> tuple[int, int, str]:
    """Return what is done and the total in thousandths of the path, and a word; the pilot counts as the first third."""
    s = stage.s[stage.level - 1] if stage.level else 0.0
    if stage.pilot:
        return round(300 * s), 1000, f"pilot, level {stage.level}, s = {s:.3g}"
    word = (
        f"level {stage.level} of {len(stage.s)}, accepted {stage.acceptance[-1]:.2f}" if stage.acceptance else "fresh particles"
    )
    return 300 + round(700 * stage.level / len(stage.s)), 1000, word
