"""Energies and forces of one System, in this process or as the program of another (without torch: it starts in half a second).

As a program it reads pickled messages from its standard input and answers each on its standard output: first the
System, then batches. It ends when its input does, or when the process that started it is gone.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import sys
import threading
import time
from typing import Any

import numpy as np


def choose_platform(system: Any, name: str | None, properties: dict[str, str] | None = None) -> tuple[Any, dict[str, str]]:
    """Return the platform and its properties; CPU has one thread unless `Threads` is given, as processes run in parallel.

    Measured, alanine dipeptide, evaluations/s on one core: with GBSAOBCForce Reference 21 000, CPU 7 700; with
    CustomGBForce (implicit/obc1.xml) Reference 750, CPU 1 400. CPU works in single precision, which
    costs 1e-4 kJ/mol at 22 atoms.

    Args:
        system: an openmm.System, looked at when no name is given.
        name: OpenMM's name; None takes the faster one of Reference and CPU.
        properties: of the platform, such as {"DeviceIndex": "0", "Precision": "mixed"} of CUDA.

    Raises:
        ValueError: OpenMM has no platform of this name here, or the platform no such property.
    """
    import openmm

    names = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
    if name is None:
        custom = any(force.getName().startswith("Custom") for force in system.getForces())
        name = "CPU" if custom or system.getNumParticles() > 100 else "Reference"
    if name not in names:
        raise ValueError(f"OpenMM has no platform {name} here, only {', '.join(names)}.")
    platform = openmm.Platform.getPlatformByName(name)
    known = list(platform.getPropertyNames())
    for key, value in (properties or {}).items():
        if key not in known:
            raise ValueError(f"the platform {name} has no property {key}, only {', '.join(known) or 'none at all'}.")
        if not isinstance(value, str):
            raise ValueError(f"properties of a platform are text, got {key}: {value!r}: put it in quotes.")
    return platform, ({"Threads": "1"} if name == "CPU" else {}) | (properties or {})


def make_context(system: str, platform: str | None, properties: dict[str, str] | None) -> Any:
    """Make a Context of a serialized System.

    Raises:
        ValueError: the platform does not run it, because there is no such device or it lacks a kernel.
    """
    import openmm

    deserialized = openmm.XmlSerializer.deserialize(system)
    chosen, chosen_properties = choose_platform(deserialized, platform, properties)
    try:
        return openmm.Context(deserialized, openmm.VerletIntegrator(0.001), chosen, chosen_properties)
    except openmm.OpenMMException as error:
        raise ValueError(
            f"OpenMM's platform {chosen.getName()} {chosen_properties} cannot run this System: {error}."
        ) from error


def evaluate_by_openmm(
    context: Any, positions: np.ndarray, forces: bool, groups: set[int] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return energies (B,) [kJ/mol] and, if asked for, forces (B, N, 3) [kJ/mol/nm] of positions (B, N, 3) [nm], all float64.

    A configuration with NaN, or so overlapping that its energy is no finite number, has energy +inf and zero force.

    Raises:
        ValueError: positions of another number of atoms.
    """
    from openmm import OpenMMException

    particles = context.getSystem().getNumParticles()
    if positions.shape[1:] != (particles, 3):
        raise ValueError(f"the System has {particles} particles, positions have shape {positions.shape}.")
    energy = np.full(len(positions), math.inf)
    force = np.zeros_like(positions) if forces else None
    selected = -1 if groups is None else groups
    for b in np.flatnonzero(np.isfinite(positions).all((1, 2))):
        try:
            context.setPositions(positions[b])
            state = context.getState(getEnergy=True, getForces=forces, groups=selected)
        except OpenMMException:  # some platforms raise on overlaps instead of returning NaN
            continue
        e = state.getPotentialEnergy()._value  # kJ/mol; a conversion of units costs a tenth of the evaluation
        if not math.isfinite(e):
            continue
        if force is not None:
            f = state.getForces(asNumpy=True)._value
            if not np.isfinite(f).all():
                continue
            force[b] = f
        energy[b] = e
    return energy, force


def _end_with(parent: int) -> None:
    """End this process soon after its parent, also in the middle of a batch or where another process holds the pipe."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main(parent: int) -> None:
    """Answer batches until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what OpenMM prints must not get between the answers
    try:
        context: Any = None
        system = pickle.load(requests)
        while True:
            batch = pickle.load(requests)
            try:
                context = context or make_context(*system)
                answer: Any = evaluate_by_openmm(context, *batch)
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
    except (EOFError, BrokenPipeError):  # the parent is done, or gone
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
