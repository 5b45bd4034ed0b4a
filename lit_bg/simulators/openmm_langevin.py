"""Langevin dynamics of a molecule by OpenMM, walkers in parallel processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.energies.molecule import Molecule
from lit_bg.energies.openmm_bridge import choose_platform, cores
from lit_bg.molecules.hydrogen_mass import check_hydrogen_mass, repartitioned_masses
from lit_bg.rng import stream
from lit_bg.simulators.base import Numbers, ReportProgress, Simulator, Trajectory
from lit_bg.simulators.recorder import Recorder


@dataclass(frozen=True)
class OpenMMWalk:
    """Holds one walker's work as plain data, to be sent to a process."""

    index: int
    system: str  # XML
    platform: str | None
    start: np.ndarray  # (N, 3) [nm], before minimisation
    temperature: float  # [K]
    time_step: float  # [ps]
    friction: float  # [1/ps]
    burn_in: int  # steps
    stride: int  # steps between frames
    frames: int
    seed: int
    centred: bool  # whether the centre of mass is none of the degrees of freedom


class OpenMMLangevin(Simulator):
    r"""Runs Langevin dynamics of a `Molecule`, $dv = -\nabla U / m \, dt - \gamma v \, dt + \sqrt{2 \gamma kT / m} \, dW$.

    Integrated by the middle scheme, whose error in configurational averages is smallest. Every walker is
    minimised, thermalised (`burn_in`), then saved. Barriers of many kT are not crossed: populations of
    slow torsions remain those of the starts for as long as the walkers do not exchange them, and R-hat in
    the data card says so.

    Args:
        frames: saved per walker.
        walkers: independent trajectories.
        interval: time between frames [ps].
        time_step: [ps]. The virial check in the data card tells whether it is too long.
        friction: gamma [1/ps].
        burn_in: time before the first frame [ps].
        hydrogen_mass: mass of every hydrogen [amu], taken from the atom it is bonded to. Configurational
            averages do not depend on masses, and slower hydrogens allow a longer time step. None: as they are.
        start: "torsions" draws the backbone torsions of each walker uniformly, so that walkers begin in all
            basins; "initial" starts all of them from the topology file.
        processes: at a time; None: one per core. 1 runs in the calling process.

    Raises:
        ValueError: a number out of range; from `check`, an energy that is no Molecule, or no backbone to turn; from
            `run`, dynamics that blow up or leave the region of the target.

    References:
        Zhang, Liu, Yan, Tuckerman, Liu, J. Phys. Chem. A 123, 6056 (2019), doi:10.1021/acs.jpca.9b02771.
        Hopkins, Le Grand, Walker, Roitberg, J. Chem. Theory Comput. 11, 1864 (2015), doi:10.1021/ct5010406, for
        heavy hydrogens.
    """

    def __init__(
        self,
        frames: int = 1000,
        walkers: int = 20,
        interval: float = 0.1,
        time_step: float = 0.001,
        friction: float = 1.0,
        burn_in: float = 10.0,
        hydrogen_mass: float | None = None,
        start: Literal["torsions", "initial"] = "torsions",
        processes: int | None = None,
    ) -> None:
        positive = {
            "frames": frames,
            "walkers": walkers,
            "interval": interval,
            "time_step": time_step,
            "friction": friction,
        }
        for name, value in positive.items():
            if not value > 0:
                raise ValueError(f"OpenMMLangevin needs {name} > 0, got {value}.")
        if burn_in < 0:
            raise ValueError(f"OpenMMLangevin needs burn_in >= 0 ps, got {burn_in}.")
        if processes is not None and processes < 1:
            raise ValueError(f"OpenMMLangevin needs at least one process, got {processes}.")
        if time_step > 0.01:
            raise ValueError(f"time_step = {time_step} ps is longer than any bond vibrates: give picoseconds, such as 0.002.")
        self.stride = round(interval / time_step)
        if self.stride < 1 or not math.isclose(self.stride * time_step, interval, rel_tol=1e-6):
            raise ValueError(f"interval = {interval} ps must be a whole number of time steps of {time_step} ps.")
        check_hydrogen_mass(hydrogen_mass)
        if start not in ("torsions", "initial"):
            raise ValueError(f"start must be torsions or initial, got {start}.")
        self.frames, self.walkers, self.interval, self.time_step = frames, walkers, interval, time_step
        self.friction, self.burn_in, self.hydrogen_mass = friction, burn_in, hydrogen_mass
        self.start, self.processes = start, processes

    def check(self, energy: Energy) -> None:
        if not isinstance(energy, Molecule):
            raise ValueError(
                f"OpenMMLangevin simulates a Molecule, got {type(energy).__name__}: "
                "use Simulation with a kernel such as MALA, or Exact."
            )
        if self.start == "torsions" and not energy.structure.backbone_torsions:
            raise ValueError(f"{energy.name} has no peptide backbone to turn: use start: initial.")

    def run(self, energy: Energy, seed: int, progress: ReportProgress, recorder: Recorder | None = None) -> Trajectory:
        self.check(energy)
        assert isinstance(energy, Molecule)  # for the type checker
        burn_in = round(self.burn_in / self.time_step)
        system = self._system(energy)
        seeds = torch.randint(1, 2**31 - 1, (self.walkers,), generator=stream(seed, "simulate")).tolist()
        walks = [
            OpenMMWalk(
                w, system, energy.evaluator.platform, x.numpy(), energy.temperature, self.time_step, self.friction,
                burn_in, self.stride, self.frames, seeds[w], energy.space.centred,
            )
            for w, x in enumerate(self._starts(energy, seed))
        ]  # fmt: skip
        total = self.walkers * (burn_in + self.frames * self.stride)
        began, done = time.monotonic(), 0
        saved = torch.empty(self.frames, self.walkers, *energy.space.shape)
        kinetic = 0.0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            progress(done, total, f"{done / (time.monotonic() - began):.0f} steps/s")

        for index, x, temperature in _run_all(walks, min(self.processes or cores(), self.walkers), advance):
            saved[:, index] = torch.from_numpy(x)
            kinetic += temperature / self.walkers
        _check_region(energy, saved)
        info: Numbers = {
            "steps": total,
            "steps_per_second": total / (time.monotonic() - began),
            "kinetic_temperature": kinetic,
        }
        return Trajectory(saved, interval=self.interval, time_unit="ps", info=info)

    def _system(self, energy: Molecule) -> str:
        """Return the System as text, with heavier hydrogens if asked for."""
        import openmm

        if self.hydrogen_mass is None:
            return energy.evaluator.system
        system = openmm.XmlSerializer.deserialize(energy.evaluator.system)
        masses = repartitioned_masses(energy.structure, self.hydrogen_mass)
        for i, mass in enumerate(masses):
            system.setParticleMass(i, mass)
        return str(openmm.XmlSerializer.serialize(system))

    def _starts(self, energy: Molecule, seed: int) -> Tensor:
        """Return the starts, (W, N, 3) float64."""
        if self.start == "initial":
            return torch.from_numpy(energy.structure.positions).expand(self.walkers, -1, -1).contiguous()
        return energy.start_from_torsions(self.walkers, stream(seed, "start"))


def _check_region(energy: Energy, x: Tensor) -> None:
    """Refuse frames (T, W, *shape) of walkers that are not those of the target.

    Raises:
        ValueError: walkers that left the region that the target covers.
    """
    wrong = torch.stack([(~energy.in_region(x[:, w])).any() for w in range(x.shape[1])])
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} of {x.shape[1]} walkers left the region that the target covers "
            f"(walker {int(torch.nonzero(wrong)[0])} is the first): "
            "start from a relaxed structure (start: initial), or use a shorter time step."
        )


def walk(task: OpenMMWalk, advance: Callable[[int], None]) -> tuple[np.ndarray, float]:
    """Minimise, thermalise and record one walker: frames (T, N, 3) float32 [nm], and the kinetic temperature [K].

    Raises:
        FloatingPointError: positions are not finite any more.
    """
    import openmm
    from openmm import unit

    system = openmm.XmlSerializer.deserialize(task.system)
    integrator = openmm.LangevinMiddleIntegrator(task.temperature, task.friction, task.time_step)
    integrator.setRandomNumberSeed(task.seed)
    context = openmm.Context(system, integrator, *choose_platform(system, task.platform))
    context.setPositions(task.start)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 500)
    context.setVelocitiesToTemperature(task.temperature, task.seed)
    frames = np.empty((task.frames, *task.start.shape), dtype=np.float32)
    kinetic, unreported = 0.0, 0

    def step(n: int) -> None:
        nonlocal unreported
        try:
            integrator.step(n)
        except openmm.OpenMMException as error:
            raise FloatingPointError(
                f"walker {task.index} blew up: use a shorter time step than {task.time_step} ps."
            ) from error
        unreported += n
        if unreported >= 500:
            advance(unreported)
            unreported = 0

    for n in [500] * (task.burn_in // 500) + [task.burn_in % 500]:
        step(n)
    for t in range(task.frames):
        step(task.stride)
        state = context.getState(getPositions=True, getEnergy=True)
        x = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        frames[t] = x - x.mean(0) if task.centred else x
        kinetic += state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
        if not np.isfinite(frames[t]).all():
            raise FloatingPointError(f"walker {task.index} blew up: use a shorter time step than {task.time_step} ps.")
    advance(unreported)
    R = unit.MOLAR_GAS_CONSTANT_R.value_in_unit(unit.kilojoule_per_mole / unit.kelvin)
    return frames, 2 * kinetic / task.frames / (3 * len(task.start) * R)


def _run_all(walks: list[OpenMMWalk], processes: int, advance: Callable[[int], None]) -> Any:
    """Yield (index, frames, kinetic temperature) of every walk as it ends; no process outlives the loop."""
    if processes == 1:
        for task in walks:
            try:
                frames, temperature = walk(task, advance)
            except FloatingPointError as error:
                raise ValueError(str(error)) from error
            yield task.index, frames, temperature
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy threads of torch and OpenMM half-alive
    results: Any = context.Queue()
    shares = [walks[p::processes] for p in range(processes)]
    workers = [context.Process(target=_work, args=(share, results), daemon=True) for share in shares]
    try:
        for worker in workers:
            worker.start()
        left = len(walks)
        while left:
            try:
                kind, value = results.get(timeout=1.0)
            except queue.Empty:
                dead = [w for w in workers if w.exitcode not in (None, 0)]
                if dead:
                    raise RuntimeError(f"a simulation process ended with exit code {dead[0].exitcode}.") from None
                continue
            if kind == "advance":
                advance(value)
            elif kind == "error":
                raise ValueError(value)
            else:
                left -= 1
                yield value
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
        for worker in workers:
            if worker.pid is not None:
                worker.join()


def _work(walks: list[OpenMMWalk], results: Any) -> None:
    """Run a process: its walks one after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its processes
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def advance(steps: int) -> None:
        if parent is not None and not parent.is_alive():
            os._exit(1)  # the parent was killed and cannot end us
        results.put(("advance", steps))

    try:
        for task in walks:
            results.put(("frames", (task.index, *walk(task, advance))))
    except FloatingPointError as error:
        results.put(("error", str(error)))
