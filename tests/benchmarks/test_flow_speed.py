"""Training and sampling speed of the spline flow at 60 dimensions, the internal coordinates of alanine dipeptide.

    pytest tests/benchmarks -o addopts= --benchmark-columns=median,min,ops

`ops` is training steps (forward KL, Adam) per second, and calls of `sample` per second: times the batch it is samples with
their log density per second. A flow of the same number of parameters (776 k) and transformed coordinates (172) in bgflow
made 29.8 training steps per second at batch 256, 11.3 at 1024, and 22 to 25 k samples per second, on two quiet cores.
Threads: OMP_NUM_THREADS. Compiling takes a minute or more, outside the timing.
"""

import os

import pytest
import torch

from lit_bg.energies.base import Energy
from lit_bg.generators import CouplingFlow
from lit_bg.transforms import Domain, Kind

pytest.importorskip("pytest_benchmark")


class Space(Energy):
    """41 lines and 19 circles, no forces."""

    event_shape = (60,)

    @property
    def domain(self):
        kinds = torch.tensor([Kind.LINEAR] * 41 + [Kind.CIRCULAR] * 19)
        return Domain(kinds, -torch.ones(60), torch.ones(60))

    def potential(self, x):
        return 0 * x.sum(-1)


def flow(compile):
    """Three blocks: 180 transformed coordinates, 761 k parameters."""
    torch.manual_seed(0)
    made = CouplingFlow(blocks=3, hidden=(136, 136), bins=8, compile=compile).build(Space())
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.05)
    return made


modes = pytest.mark.parametrize("compile", [False, True], ids=["eager", "compiled"])


@modes
@pytest.mark.parametrize("batch", [256, 1024])
def test_training_step(benchmark, compile, batch):
    generator = flow(compile)
    optimizer = torch.optim.Adam(generator.parameters(), 1e-4, fused=True)
    with torch.no_grad():
        data = flow(False).sample(batch, torch.Generator().manual_seed(0))[0]

    def step():
        optimizer.zero_grad()
        (-generator.log_prob(data).mean()).backward()
        optimizer.step()

    benchmark.extra_info.update(threads=torch.get_num_threads(), load=os.getloadavg()[0])
    benchmark.pedantic(step, rounds=30, warmup_rounds=3)


@modes
def test_sampling(benchmark, compile):
    batch = 1024
    generator, rng = flow(compile), torch.Generator().manual_seed(0)

    @torch.no_grad()
    def sample():
        generator.sample(batch, rng)

    benchmark.extra_info.update(threads=torch.get_num_threads(), load=os.getloadavg()[0], batch=batch)
    benchmark.pedantic(sample, rounds=30, warmup_rounds=3)
