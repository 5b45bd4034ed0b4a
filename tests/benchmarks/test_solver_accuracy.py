"""How the solver of a trained continuous flow moves log q, ESS and log Z.

    python -m lit_bg.simulate -c experiments/double_well_likelihood.yaml
    python -m lit_bg.fit -c experiments/double_well_likelihood.yaml
    RUN=runs/double_well_likelihood/version_0 pytest tests/benchmarks/test_solver_accuracy.py -o addopts= -s

Each solver draws the same 1000 samples in float32; the truth is their log q by 50 steps of RungeKutta4 in float64. Printed:
field evaluations, root mean square and largest error of log q, ESS, and what log Z changes from its value by the true log q.
"""

import copy
import os

import pytest
import torch

from lit_bg import load
from lit_bg.estimators import ess, log_z
from lit_bg.generators import ContinuousFlow
from lit_bg.solvers import DormandPrince, Heun, Midpoint, RungeKutta4

RUN = os.environ.get("RUN")
N = int(os.environ.get("SAMPLES", "1000"))
SOLVERS = {
    **{f"RungeKutta4({n})": RungeKutta4(n) for n in (3, 5, 10, 20)},
    **{f"Midpoint({n})": Midpoint(n) for n in (10, 40)},
    **{f"Heun({n})": Heun(n) for n in (10, 40)},
    **{f"DormandPrince({e:g})": DormandPrince(e, e) for e in (1e-2, 1e-3, 1e-4, 1e-5)},
}


@pytest.mark.skipif(RUN is None, reason="needs RUN, the folder of a trained continuous flow")
def test_error_of_log_q(benchmark):
    run = load(RUN)
    flow = run.generator
    assert isinstance(flow, ContinuousFlow)
    exact = copy.deepcopy(flow).double()
    exact.solver = RungeKutta4(50)
    with torch.no_grad():
        for name, solver in SOLVERS.items():
            flow.solver = solver
            x, log_q = flow.sample(N, torch.Generator().manual_seed(1))
            evaluations, log_q, true = flow.evaluations, log_q.double(), exact.log_prob(x.double())
            u = run.energy(x.double())
            shift = log_z(-u - log_q)[0] - log_z(-u - true)[0]
            error = (log_q - true).abs()
            rms = error.square().mean().sqrt().item()
            print(f"\n{name:22s} {evaluations:4d} evaluations, log q rms {rms:.1e} max {error.max():.1e}, ", end="")
            print(f"ESS {ess(-u - log_q):.4f}, log Z {shift:+.1e}", end="", flush=True)
            benchmark.extra_info[name] = rms
    print()
    flow.solver = RungeKutta4(5)
    benchmark.pedantic(lambda: flow.sample(N, torch.Generator().manual_seed(1)), rounds=1)
