"""Training and sampling speed of the spline flow at 60 dimensions, the internal coordinates of alanine dipeptide.

    pytest tests/benchmarks -o addopts= --benchmark-columns=median,min,ops

`ops` is training steps (forward KL, Adam) per second, and calls of `sample` per second: times the batch it is samples with
their log density per second. A flow of the same number of parameters (776 k) and transformed coordinates (172) in bgflow
made 29.8 training steps per second at batch 256, 11.3 at 1024, and 22 to 25 k samples per second, on two quiet cores.
Threads: OMP_NUM_THREADS. Compiling takes a minute or more, outside the timing.

Beside it stands zuko's neural spline flow of the same size: couplings that move half of the coordinates each, as many
transformed coordinates, bins and hidden layers, with log q in the same pass as the samples. It knows no circles: all its
coordinates are lines, two parameters fewer per spline. `test_beside_zuko` lets the two take turns in one process, which is
the comparison to quote: a machine's rate drifts by more than the two differ. On one thread of an AMD EPYC (Zen 5):

| medians [ms], in turns | lit_bg compiled | zuko compiled | zuko eager |
|---|---|---|---|
| training step, batch 256 | 13.8 | 25.9 | 47.1 |
| training step, batch 1024 | 38.1 | 95.0 | 158.7 |
| 1024 samples with log q | 12.9 | 66.2 | 149.8 |
"""

import os
import statistics
import time
from functools import cache

import pytest
import torch

from lit_bg.energies.base import Energy
from lit_bg.generators import CouplingFlow
from lit_bg.spaces import Domain, Kind, Vectors

pytest.importorskip("pytest_benchmark")


class Torsions(Energy):
    """41 lines and 19 circles, no forces."""

    kinds = torch.tensor([Kind.LINEAR] * 41 + [Kind.CIRCULAR] * 19)
    space = Vectors(60, Domain(kinds, -torch.ones(60), torch.ones(60)))

    def potential(self, x):
        return 0 * x.sum(-1)


def flow(compile):
    """Three blocks: 180 transformed coordinates, 761 k parameters."""
    torch.manual_seed(0)
    made = CouplingFlow(blocks=3, hidden=(136, 136), bins=8, compile=compile).build(Torsions())
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return made


def zuko_flow():
    """Six couplings of 30 coordinates: 180 transformed coordinates, 704 k parameters."""
    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    spline = {"univariate": zuko.transforms.MonotonicRQSTransform, "shapes": [(8,), (8,), (7,)]}
    return zuko.flows.NICE(60, transforms=6, randmask=True, hidden_features=(136, 136), **spline)


def training(flow, log_prob, data):
    """Return a step of forward KL with Adam."""
    optimizer = torch.optim.Adam(flow.parameters(), 1e-4, fused=True)

    def step():
        optimizer.zero_grad()
        (-log_prob(data).mean()).backward()
        optimizer.step()

    return step


@cache
def data(batch):
    with torch.no_grad():
        return flow(False).sample(batch, torch.Generator().manual_seed(0))[0]


modes = pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])


@modes
@pytest.mark.parametrize("batch", [256, 1024])
def test_training_step(benchmark, compile, batch):
    generator = flow(compile)
    benchmark.extra_info.update(threads=torch.get_num_threads(), load=os.getloadavg()[0])
    benchmark.pedantic(training(generator, generator.log_prob, data(batch)), rounds=30, warmup_rounds=3)


@modes
def test_sampling(benchmark, compile):
    batch = 1024
    generator, rng = flow(compile), torch.Generator().manual_seed(0)

    @torch.no_grad()
    def sample():
        generator.sample(batch, rng)

    benchmark.extra_info.update(threads=torch.get_num_threads(), load=os.getloadavg()[0], batch=batch)
    benchmark.pedantic(sample, rounds=30, warmup_rounds=3)


@pytest.mark.parametrize("work", ["train-256", "train-1024", "sample-1024"])
def test_beside_zuko(benchmark, work):
    """Times ours, compiled; `extra_info` says how many times as long zuko takes, eager and compiled, medians of turns."""
    kind, batch = work.split("-")[0], int(work.split("-")[1])
    ours, theirs, rng = flow(True), zuko_flow(), torch.Generator().manual_seed(0)
    if kind == "train":

        def log_prob(x):
            return theirs().log_prob(x)

        turns = {
            "ours": training(ours, ours.log_prob, data(batch)),
            "zuko eager": training(theirs, log_prob, data(batch)),
            "zuko compiled": training(theirs, torch.compile(log_prob, dynamic=False), data(batch)),
        }
    else:

        def draw():
            return theirs().rsample_and_log_prob((batch,))

        turns = {
            "ours": torch.no_grad()(lambda: ours.sample(batch, rng)),
            "zuko eager": torch.no_grad()(draw),
            "zuko compiled": torch.no_grad()(torch.compile(draw, dynamic=False)),
        }
    for turn in turns.values():
        for _ in range(3):
            turn()
    times = {name: [] for name in turns}
    for _ in range(30):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(each) for name, each in times.items()}
    benchmark.extra_info.update({name: each / median["ours"] for name, each in median.items()}, load=os.getloadavg()[0])
    print(work, {name: f"{1e3 * each:.1f} ms" for name, each in median.items()})
    benchmark.pedantic(turns["ours"], rounds=30, warmup_rounds=3)
