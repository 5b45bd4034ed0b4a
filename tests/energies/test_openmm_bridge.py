"""Energies of OpenMM in one process and in several, and no process that stays behind."""

import copy
import gc
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import openmm
import pytest
import torch

from lit_bg.energies.openmm_bridge import OpenMMEvaluator, Potential, choose_platform
from lit_bg.rng import stream


def chain(n=5):
    """A chain of charged beads: bonds in force group 0, the rest in group 1."""
    system = openmm.System()
    bonds, beads = openmm.HarmonicBondForce(), openmm.NonbondedForce()
    for i in range(n):
        system.addParticle(12.0)
        beads.addParticle((-1) ** i * 0.3, 0.2, 0.5)
    for i in range(n - 1):
        bonds.addBond(i, i + 1, 0.2, 1e4)
    beads.setForceGroup(1)
    system.addForce(bonds)
    system.addForce(beads)
    return openmm.XmlSerializer.serialize(system)


def beads(batch, seed=0, n=5):
    line = torch.arange(n, dtype=torch.float64)[:, None] * torch.tensor([0.2, 0.0, 0.0], dtype=torch.float64)
    return line + 0.02 * torch.randn(batch, n, 3, generator=stream(seed, "beads"), dtype=torch.float64)


@pytest.fixture(scope="module")
def pool():
    evaluator = OpenMMEvaluator(chain(), "Reference", processes=3)
    yield evaluator
    evaluator.close()


def pids(evaluator):
    return [] if evaluator._pool is None else [worker.pid for worker in evaluator._pool.workers]


def running(pid):
    """Whether a process lives; one that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_end(pids, within=10.0):
    end = time.monotonic() + within
    while time.monotonic() < end and any(map(running, pids)):
        time.sleep(0.05)
    return not any(map(running, pids))


def test_several_processes_give_the_numbers_of_one_in_order(pool):
    one = OpenMMEvaluator(chain(), "Reference")
    for batch in (6, 7, 50):
        x = beads(batch, batch)
        torch.testing.assert_close(pool.energy(x), one.energy(x), rtol=0, atol=0)
        for mine, theirs in zip(pool.energy_and_forces(x), one.energy_and_forces(x), strict=True):
            assert torch.equal(mine, theirs)
    assert len(set(pids(pool))) == 3
    assert pids(one) == []


def test_the_energy_is_the_formula(pool):
    x = torch.zeros(8, 5, 3, dtype=torch.float64)
    x[:, :, 0] = torch.arange(5) * 0.25
    bonds = pool.energy(x, groups={0})
    torch.testing.assert_close(bonds, torch.full((8,), 4 * 0.5e4 * 0.05**2, dtype=torch.float64))
    rest = pool.energy(x, groups={1})
    torch.testing.assert_close(bonds + rest, pool.energy(x))
    assert (rest != 0).all()


def test_gradients_are_forces(pool):
    x = beads(8).requires_grad_()
    weight = torch.linspace(0.5, 2.0, 8, dtype=torch.float64)
    (weight * Potential.apply(x, pool)).sum().backward()
    torch.testing.assert_close(x.grad, -weight[:, None, None] * pool.energy_and_forces(x)[1])
    h, direction = 1e-6, torch.randn(x.shape, generator=stream(1, "direction"), dtype=torch.float64)
    with torch.no_grad():
        slope = (pool.energy(x + h * direction) - pool.energy(x - h * direction)) / (2 * h)
    torch.testing.assert_close((x.grad * direction).sum((1, 2)), weight * slope, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("processes", [1, 3])
def test_bad_configurations_are_infinite_and_without_force(pool, processes):
    evaluator = pool if processes == 3 else OpenMMEvaluator(chain(), "Reference")
    x = beads(9)
    x[0, 1, 2], x[3, 0, 0] = math.nan, math.inf
    x[5] = 0.0
    energy, forces = evaluator.energy_and_forces(x)
    bad = torch.tensor([True, False, False, True, False, True, False, False, False])
    assert torch.equal(energy.isposinf(), bad)
    assert torch.equal((forces == 0).all(-1).all(-1), bad)
    assert forces.isfinite().all()


def test_an_empty_batch(pool):
    energy, forces = pool.energy_and_forces(beads(0))
    assert energy.shape == (0,)
    assert forces.shape == (0, 5, 3)


def test_small_batches_start_no_process():
    evaluator = OpenMMEvaluator(chain(), "Reference", processes=2)
    evaluator.energy(beads(3))
    assert pids(evaluator) == []
    evaluator.energy(beads(4))
    workers = pids(evaluator)
    evaluator.energy(beads(40))
    assert pids(evaluator) == workers  # they are used again
    assert len(workers) == 2
    evaluator.close()
    assert all_end(workers)
    assert evaluator.energy(beads(4)).isfinite().all()  # and made again
    workers = pids(evaluator)
    del evaluator
    gc.collect()
    assert all_end(workers)


def test_copies_carry_the_text_alone(pool):
    x = beads(6)
    u = pool.energy(x)
    for twin in (copy.deepcopy(pool), pickle.loads(pickle.dumps(pool))):
        assert twin._context is None
        assert pids(twin) == []
        assert (twin.system, twin.platform, twin.processes) == (pool.system, "Reference", 3)
        twin.processes = 1
        assert torch.equal(twin.energy(x), u)


def test_a_process_that_dies_is_reported():
    evaluator = OpenMMEvaluator(chain(), "Reference", processes=2)
    u = evaluator.energy(beads(6))
    workers = pids(evaluator)
    os.kill(workers[1], signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"process 2 of 2 ended with exit code -9 \(SIGKILL\)"):
        evaluator.energy(beads(6))
    assert all_end(workers)
    assert torch.equal(evaluator.energy(beads(6)), u)  # new ones
    evaluator.close()


def test_an_error_in_a_process_is_reported():
    evaluator = OpenMMEvaluator(chain(), "Reference", processes=2)
    with pytest.raises(RuntimeError, match=r"an OpenMM process failed: ValueError: .* 5 particles, .* \(3, 4, 3\)"):
        evaluator.energy(beads(6, n=4))
    with pytest.raises(ValueError, match="5 particles"):
        evaluator.energy(beads(2, n=4))
    evaluator.close()


@pytest.mark.slow
def test_a_fork_leaves_the_processes_and_the_context_of_its_parent_alone(pool):
    x = beads(6)
    u, workers = pool.energy(x), pids(pool)
    torch.testing.assert_close(pool.energy(x[:2]), u[:2])  # by a Context of this process
    child = os.fork()
    if child == 0:
        try:
            same = torch.equal(pool.energy(x), u) and not set(pids(pool)) & set(workers)
            same = same and torch.equal(pool.energy(x[:2]), u[:2])
            pool.close()  # a Context must not wait for threads that a fork does not have
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(pool.energy(x), u)
    assert pids(pool) == workers


def test_platforms_and_properties():
    system = openmm.XmlSerializer.deserialize(chain())
    assert choose_platform(system, None)[0].getName() == "Reference"
    assert choose_platform(system, "CPU")[1] == {"Threads": "1"}
    _, properties = choose_platform(system, "CPU", {"Threads": "2", "DeterministicForces": "true"})
    assert properties == {"Threads": "2", "DeterministicForces": "true"}
    evaluator = OpenMMEvaluator(chain(), "CPU", properties={"Threads": "2"})
    assert evaluator.context.getPlatform().getPropertyValue(evaluator.context, "Threads") == "2"
    reference = OpenMMEvaluator(chain(), "Reference")
    torch.testing.assert_close(evaluator.energy(beads(3)), reference.energy(beads(3)), rtol=1e-5, atol=1e-3)
    with pytest.raises(ValueError, match="no platform Abacus here, only Reference"):
        choose_platform(system, "Abacus")
    with pytest.raises(ValueError, match="CPU has no property Thread, only Threads, DeterministicForces"):
        choose_platform(system, "CPU", {"Thread": "2"})
    with pytest.raises(ValueError, match="Threads: 2: put it in quotes"):
        choose_platform(system, "CPU", {"Threads": 2})
    with pytest.raises(ValueError, match="at least one process, got processes=0"):
        OpenMMEvaluator(chain(), processes=0)


PROGRAM = """
import os, sys, types
package = types.ModuleType("lit_bg.energies")  # without torch and all energies, which take seconds to import
package.__path__ = [os.path.join({root!r}, "lit_bg", "energies")]
sys.modules["lit_bg.energies"] = package
import numpy as np
from lit_bg.energies.openmm_pool import OpenMMPool
assert "torch" not in sys.modules
pool = OpenMMPool((open({system!r}).read(), "Reference", None), 2)
x = np.arange(15.0).reshape(1, 5, 3).repeat(20000, 0) / 10
pool.evaluate(x[:4], 2, False, None)
print(*[worker.pid for worker in pool.workers], flush=True)
{then}
"""
BUSY = f"while os.getppid() == {os.getpid()}: pool.evaluate(x, 2, False, None)"  # not longer than this test
ENDS = {
    "the end of the program": ("", None, 0),
    "an exception": ("raise SystemExit(3)", None, 3),
    "Ctrl-C": (BUSY, signal.SIGINT, -signal.SIGINT),
    "SIGTERM": (BUSY, signal.SIGTERM, -signal.SIGTERM),
    "SIGKILL": (BUSY, signal.SIGKILL, -signal.SIGKILL),
}


@pytest.mark.slow
def test_processes_end_with_the_program_however_it_ends(tmp_path):
    """A script without `if __name__ == "__main__"`, too."""
    system = tmp_path / "system.xml"
    system.write_text(chain())
    programs = {
        name: subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(root=os.getcwd(), system=str(system), then=then)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name, (then, _, _) in ENDS.items()
    }  # fmt: skip
    try:
        for name, (_, sent, code) in ENDS.items():
            program = programs[name]
            workers = [int(pid) for pid in program.stdout.readline().split()]
            assert len(workers) == 2, (name, program.stderr.read())
            if sent is not None:
                assert all(map(running, workers)), name
                os.killpg(program.pid, sent)  # as the terminal does
            assert program.wait(timeout=60) == code, (name, program.stderr.read())
            assert all_end(workers), name
            said = program.stderr.read()
            assert said.count("Traceback") == (sent == signal.SIGINT), (name, said)  # the workers say nothing
    finally:
        for program in programs.values():
            program.kill()
            program.communicate()
