import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lit_bg.energies import DoubleWell, Molecule
from lit_bg.estimators import virial
from lit_bg.simulators import OpenMMLangevin


@pytest.fixture(scope="module")
def ala2():
    return Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])


def silent(done, total, state):
    pass


def test_processes_do_not_change_the_trajectory(ala2):
    def run(processes, seed):
        calls = []
        md = OpenMMLangevin(frames=10, walkers=3, time_step=0.002, interval=0.02, burn_in=0.1, processes=processes)
        return md.run(ala2, seed, lambda *call: calls.append(call)), calls

    alone, _ = run(1, 0)
    parallel, calls = run(2, 0)
    assert torch.equal(alone.x, parallel.x)
    assert not torch.equal(alone.x, run(1, 1)[0].x)
    assert alone.x.shape == (10, 3, 22, 3)
    assert (alone.interval, alone.time_unit) == (0.02, "ps")
    assert [done for done, _, _ in calls] == sorted(done for done, _, _ in calls)
    assert calls[-1][:2] == (3 * 150, 3 * 150)
    assert alone.x.mean(2).abs().max() < 1e-6
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("frames", "most"),
    [pytest.param(100, 20.0, id="short"), pytest.param(2000, 3.0, id="long", marks=pytest.mark.slow)],
)
def test_virial_and_temperature(ala2, frames, most):
    md = OpenMMLangevin(frames=frames, walkers=4, time_step=0.002, interval=0.2, burn_in=5.0, hydrogen_mass=3.0, processes=1)
    trajectory = md.run(ala2, 0, silent)
    value, error = virial(ala2, trajectory.x)
    assert error < most  # every stiff bond adds (r / sigma_r)^2 to the variance: the sum has 200 [kT]
    assert abs(value - 63) < 4 * error
    # nearly independent frames of 66 degrees of freedom
    assert trajectory.info["kinetic_temperature"] == pytest.approx(300.0, abs=5 * 300 * math.sqrt(2 / 66 / (4 * frames)))


def test_torsion_starts_spread_over_the_backbone(ala2):
    starts = OpenMMLangevin(walkers=200)._starts(ala2, 0)
    for name in ("phi", "psi"):
        angle = ala2.observables[name].function(starts)
        assert torch.histc(angle, 4, -math.pi, math.pi).min() > 25  # 50 +- 6 each
    assert (ala2.observables["P(L)"].function(starts) == 1).all()


def test_hydrogens_take_their_mass_from_neighbours(ala2):
    import openmm

    md = OpenMMLangevin(hydrogen_mass=3.0)
    system = openmm.XmlSerializer.deserialize(md._system(ala2))
    masses = [system.getParticleMass(i)._value for i in range(22)]
    assert sum(masses) == pytest.approx(sum(ala2.structure.masses))
    assert [m for m, e in zip(masses, ala2.structure.elements, strict=True) if e == "H"] == [3.0] * 12
    assert min(masses) == 3.0


@pytest.mark.parametrize("processes", [1, 2])
def test_dynamics_that_blow_up_are_refused(ala2, processes):
    md = OpenMMLangevin(frames=200, walkers=2, time_step=0.01, interval=0.1, processes=processes)
    with pytest.raises(ValueError, match=r"walker \d blew up: use a shorter time step than 0.01 ps"):
        md.run(ala2, 0, silent)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames > 0, got 0"),
        ({"burn_in": -1.0}, "burn_in >= 0 ps, got -1.0"),
        ({"time_step": 2.0}, "give picoseconds"),
        ({"interval": 0.0015}, "whole number of time steps"),
        ({"hydrogen_mass": 10.0}, "between 1 and 4"),
        ({"processes": 0}, "at least one process"),
    ],
)
def test_numbers_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        OpenMMLangevin(**arguments)


def test_only_molecules_are_simulated():
    with pytest.raises(ValueError, match="simulates a Molecule, got DoubleWell"):
        OpenMMLangevin().check(DoubleWell())


SCRIPT = """
import signal

from lit_bg.energies import Molecule
from lit_bg.simulators import OpenMMLangevin

if __name__ == "__main__":
    # A shell starts what it puts in the background with interrupts ignored, and the tests may run there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ala2 = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    md = OpenMMLangevin(frames=10**6, walkers=2, time_step=0.002, processes=2)
    md.run(ala2, 0, lambda done, total, state: print(done, flush=True))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("ending", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_an_interrupted_run_leaves_no_process(tmp_path, ending):
    (tmp_path / "run.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    child = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment, start_new_session=True,
    )  # fmt: skip
    child.stdout.readline()  # both processes are imported when steps are reported
    if ending == signal.SIGINT:
        os.killpg(child.pid, ending)  # as a terminal does
    else:
        child.kill()
    child.wait(timeout=60)

    def session():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == child.pid and fields[0] != "Z":
                found.append(pid)
        return found

    deadline = time.monotonic() + 60
    while session() and time.monotonic() < deadline:
        time.sleep(0.1)
    left = session()
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)
    assert not left
