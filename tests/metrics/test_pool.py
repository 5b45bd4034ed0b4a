"""Evaluations of batches and ranks, pooled, are what one process would have seen in one batch."""

import tempfile
from dataclasses import replace

import pytest
import torch
import torch.multiprocessing as mp

from lit_bg.cost import Cost
from lit_bg.energies import DoubleWell
from lit_bg.evaluate import tabulate
from lit_bg.metrics import Pool
from lit_bg.samples import Evaluation, Samples

ENERGY = DoubleWell()
HELD = torch.randn(40, 2, generator=torch.Generator().manual_seed(99))


def batch(rank: int, k: int, n: int) -> Evaluation:
    """The k-th evaluation of a rank: some have frames, some were asked twice, one is of no proposals."""
    rng = torch.Generator().manual_seed(10 * rank + k)
    x = 2 * torch.randn(n, 2, generator=rng)
    found = Evaluation(Samples(x, -x.square().sum(-1) / 8, ENERGY(x)), field_evaluations=64 + 32 * k, exact_density=False)
    cost = Cost(energies=n, densities=2 * n, field_evaluations=64 * n, seconds=1.0 + rank)
    if k == 0:
        found = found._replace(densities=torch.randn(3, 2, generator=rng).double(), variance=torch.rand(5, generator=rng))
    if rank == 0:
        frame = torch.arange(40)[k::2].flip(0)
        held = Samples(HELD[frame], torch.randn(20, generator=rng), torch.randn(20, generator=rng))
        found = found._replace(reference=held, frame=frame, walker=frame // 10)
    return found._replace(cost=cost)


SIZES = ((30, 20), (7, 0))  # of the batches of two ranks


def pooled(parts: list[Evaluation], rank: int = 0) -> Evaluation:
    pool = Pool(ENERGY, torch.float32, torch.device("cpu"), rank)
    for part in parts:
        pool.add(part)
    return pool.compute(HELD)


def of_rank(rank: int) -> list[Evaluation]:
    return [batch(rank, k, n) for k, n in enumerate(SIZES[rank])]


def flat(evaluation: Evaluation) -> list[torch.Tensor]:
    """All tensors in an evaluation."""
    parts = [evaluation.densities, evaluation.variance, evaluation.frame, evaluation.walker]
    return [
        *evaluation.proposals,
        *(evaluation.reference or ()),
        *(evaluation.table or ()),
        *(p for p in parts if p is not None),
    ]


def _on_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(pooled(of_rank(rank), rank), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks_and_one():
    alone = pooled([*of_rank(0), *of_rank(1)])
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_on_rank, args=(folder,), nprocs=2)
        together = [torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(2)]
    for found in together:
        assert all(torch.equal(a, b) for a, b in zip(flat(found), flat(alone), strict=True))
        assert (found.field_evaluations, found.exact_density) == (alone.field_evaluations, False)
        assert found.cost == replace(alone.cost, seconds=4.0)  # ranks work side by side: 2 batches of 2 s on the slower one
    assert alone.cost == Cost(energies=57, densities=114, field_evaluations=64 * 57, seconds=6.0)
    assert alone.field_evaluations == pytest.approx((37 * 64 + 20 * 96) / 57)


def test_what_is_pooled_is_what_came():
    parts = [*of_rank(0), *of_rank(1)]
    found = pooled(parts)
    x = torch.cat([part.proposals.x for part in parts])
    assert torch.equal(found.proposals.x, x)
    assert torch.equal(found.proposals.u, torch.cat([part.proposals.u for part in parts]).double())
    for column, expected in zip(found.table, tabulate(ENERGY, x), strict=True):
        torch.testing.assert_close(column, expected)
    assert torch.equal(found.frame, torch.arange(40))  # in order of time
    assert torch.equal(found.reference.x, HELD)
    log_q = torch.cat([part.reference.log_q for part in parts if part.reference is not None])
    frame = torch.cat([part.frame for part in parts if part.frame is not None])
    assert torch.equal(found.reference.log_q[frame], log_q.double())
    assert len(found.densities) == 6
    assert len(found.variance) == 10


def test_where_nothing_was_looked_at_there_is_nothing():
    x = torch.zeros(3, 2)
    found = pooled([Evaluation(Samples(x, torch.zeros(3), torch.zeros(3)))])
    nothing = (found.reference, found.field_evaluations, found.densities, found.frame, found.walker, found.variance)
    assert nothing == (None,) * 6
    assert found.exact_density
