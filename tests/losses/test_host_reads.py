"""How often a step asks a tensor for its value: on an accelerator everything waits for it."""

import pytest
import torch
from given_frames import Given
from test_loss_laws import CASES, ENERGY, generator_for
from torch.utils._python_dispatch import TorchDispatchMode

from lit_bg.losses import Batch, Loss

READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.masked_select.default}
# With energies one: how many are finite. A coordinate asks for its own. A sum may have both.
MOST = {"ReverseKL": 1, "ReverseKL, cut": 1, "ReactionCoordinate": 1, "WeightedSum": 1}
MOST |= {"ReweightedKL": 1, "ReweightedKL, balanced": 1}


class Watch(TorchDispatchMode):
    """Counts what reads values, and indexing by masks, whose result has a length that depends on them."""

    def __init__(self):
        super().__init__()
        self.reads = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masked = func is torch.ops.aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1])
        if func in READS or masked:
            self.reads.append(str(func))
        return func(*args, **(kwargs or {}))


def count(loss: Loss, batch: Batch, monkeypatch) -> list[str]:
    lists, tolist = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: lists.append("tolist") or tolist(self))
    with Watch() as watch:
        loss(batch).backward()
    return watch.reads + lists


@pytest.mark.parametrize("case", CASES)
def test_a_step_reads_no_more_than_it_says(case, monkeypatch):
    generator, loss = generator_for(case), CASES[case]()
    loss.build(generator, ENERGY)
    source = Given(ENERGY.exact_samples(40, torch.Generator().manual_seed(0)))
    batch = Batch(generator, ENERGY, 40, source, differentiable=loss.follows_proposals)
    found = count(loss, batch, monkeypatch)
    assert len(found) <= MOST.get(case, 1 if case.startswith("Reaction") else 0), found
