"""What the exact divergence of every field of particles costs, without gradients, float32.

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_divergence_speed.py -o addopts= -s

Two tables: `EGNN.with_divergence` against `vmap(jacrev)` of the same network, and velocity with divergence against the
velocity alone. Whatever is compared takes turns, and the best of all rounds counts, in seconds of the processor (of all
threads together): machines are noisy, and noise only adds. Rounds: ROUNDS, 5 by default. Jacobians at N = 55 take minutes.
"""

import os
from time import process_time

import pytest
import torch
from torch.func import jacrev, vmap

from lit_bg.energies import LennardJones
from lit_bg.nets import EGNN, ExactDivergence, GradientField, KernelField, TensorProductField

pytest.importorskip("pytest_benchmark")

ROUNDS = int(os.environ.get("ROUNDS", "5"))
FIELDS = {
    "EGNN(2, 32)": lambda: EGNN(2, 32),
    "EGNN(4, 32)": lambda: EGNN(4, 32),
    "KernelField()": lambda: KernelField(),
    "TensorProductField(2, 16)": lambda: TensorProductField(2, 16),
    "GradientField(EGNN(2, 32))": lambda: GradientField(EGNN(2, 32)),
}


def made(make, n):
    torch.manual_seed(0)
    field = make().build(LennardJones(n, factor=1))
    for p in field.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return field.requires_grad_(False)


def best(*calls):
    """Processor seconds of each call: the fastest of the rounds, in turns, after one for warming up."""
    seconds = [float("inf")] * len(calls)
    for turn in range(ROUNDS + 1):
        for i, call in enumerate(calls):
            start = process_time()
            call()
            if turn:
                seconds[i] = min(seconds[i], process_time() - start)
    return seconds


def states(n, batch):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(batch, n, 3, generator=rng)
    return torch.rand(batch, generator=rng), x - x.mean(1, keepdim=True)


@pytest.mark.parametrize("layers", [2, 4])
@pytest.mark.parametrize(("n", "batch"), [(13, 24), (22, 8), (55, 1)])
def test_against_a_jacobian(benchmark, layers, n, batch):
    """EGNN of width 32, a batch as `ExactDivergence` gives it to it; eager and compiled."""
    field, (t, x) = made(lambda: EGNN(layers, 32), n), states(n, batch)
    jacobian = vmap(jacrev(lambda y, s: field(s[None], y[None])[0]))

    def by_jacobian():
        return jacobian(x, t).reshape(batch, 3 * n, 3 * n).diagonal(dim1=1, dim2=2).sum(-1)

    own, other = torch.no_grad()(lambda: field.with_divergence(t, x)[1]), torch.no_grad()(by_jacobian)
    torch.testing.assert_close(own(), other(), rtol=1e-3, atol=1e-3)
    exact = ExactDivergence(compile=True)
    compiled = torch.no_grad()(lambda: exact(field, t, x, None)[1])
    torch.testing.assert_close(compiled(), own(), rtol=1e-3, atol=1e-3)
    ours, faster, theirs = best(own, compiled, other)
    print(
        f"\nN = {n}, {layers} layers, batch {batch}: with_divergence {1e3 * ours:.1f} ms, compiled {1e3 * faster:.1f} ms, "
        f"vmap(jacrev) {1e3 * theirs:.1f} ms, ratios {theirs / ours:.1f} and {theirs / faster:.1f}"
    )
    benchmark.extra_info.update(
        jacrev_over_own=theirs / ours,
        jacrev_over_compiled=theirs / faster,
        threads=torch.get_num_threads(),
        load=os.getloadavg()[0],
    )
    benchmark.pedantic(own, rounds=1)


@pytest.mark.parametrize("name", FIELDS)
def test_against_the_velocity(benchmark, name):
    """(v and divergence) / v over N."""
    row = []
    for n, batch in ((13, 4), (22, 2), (55, 1)):
        field, (t, x) = made(FIELDS[name], n), states(n, batch)
        v, both = best(
            torch.no_grad()(lambda field=field, t=t, x=x: field(t, x)),
            torch.no_grad()(lambda field=field, t=t, x=x: field.with_divergence(t, x)),
        )
        row.append(f"N = {n}: {1e3 * v / batch:.2f} and {1e3 * both / batch:.2f} ms, x {both / v:.1f}")
        benchmark.extra_info[f"N={n}"] = both / v
    print(f"\n{name}, v and (v, divergence) per sample, and their ratio: " + "; ".join(row))
    benchmark.extra_info.update(threads=torch.get_num_threads(), load=os.getloadavg()[0])
    benchmark.pedantic(torch.no_grad()(lambda: field(t, x)), rounds=1)
