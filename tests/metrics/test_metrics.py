"""Metrics over batches and ranks are those of the gathered samples."""

import tempfile

import pytest
import torch
import torch.multiprocessing as mp

from lit_bg.estimators import ess
from lit_bg.metrics import Gathered


def weights(rank: int, n: int) -> torch.Tensor:
    """Log weights of one rank; the ranks differ in level, so that their own ESS say nothing of the whole."""
    rng = torch.Generator().manual_seed(rank)
    return torch.randn(n, generator=rng) + 3 * rank


def test_gathered_columns_keep_their_rows_together():
    table = Gathered(a=torch.empty(0), x=torch.empty(0, 2, 3, dtype=torch.float64))
    assert table.compute()["x"].shape == (0, 2, 3)
    table.reset()
    for k in range(3):
        table.update(a=torch.full((k + 1,), float(k)), x=torch.full((k + 1, 2, 3), float(k), requires_grad=True))
    columns = table.compute()
    assert columns["a"].tolist() == [0, 1, 1, 2, 2, 2]
    assert (columns["x"][:, 1, 2] == columns["a"]).all()
    assert columns["x"].dtype == torch.float64
    assert not columns["x"].requires_grad


def test_gathered_refuses_ragged_rows():
    table = Gathered(a=torch.empty(0), b=torch.empty(0))
    with pytest.raises(ValueError, match="one length"):
        table.update(a=torch.zeros(2), b=torch.zeros(3))
    with pytest.raises(ValueError, match=r"columns are \['a', 'b'\]"):
        table.update(a=torch.zeros(2))


def _on_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    sizes = (300, 17)  # ranks need not have equally many
    log_w = weights(rank, sizes[rank])
    table = Gathered(log_w=torch.empty(0, dtype=torch.float64), x=torch.empty(0, 2))
    whole = Gathered(log_w=torch.empty(0, dtype=torch.float64))
    whole.update(log_w=log_w)
    if rank == 1:  # the other has seen nothing
        table.update(log_w=log_w, x=torch.ones(len(log_w), 2))
    everything = torch.cat([weights(r, sizes[r]) for r in range(2)])
    columns = table.compute()
    found = {
        "ess": ess(whole.compute()["log_w"]),
        "rows": columns["x"].shape,
        "column": columns["log_w"],
        "everything": everything,
        "own": ess(log_w),
    }
    table.update(log_w=torch.zeros(1), x=torch.zeros(1, 2))
    found["rows_after"] = table.compute()["x"].shape
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_the_gathered_samples():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_on_rank, args=(folder,), nprocs=2)
        first, second = (torch.load(f"{folder}/{rank}.pt", weights_only=False) for rank in range(2))
    everything = first["everything"]
    for found in (first, second):
        assert found["ess"] == pytest.approx(ess(everything), rel=1e-12)
        assert found["rows"] == (17, 2)
        assert torch.equal(found["column"], weights(1, 17).double())
        assert found["rows_after"] == (19, 2)
    assert abs((first["own"] + second["own"]) / 2 - first["ess"]) > 0.1  # the mean of the ranks' ESS is another number
