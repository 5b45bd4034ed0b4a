"""Metrics over batches and ranks are those of the gathered samples."""

import math
import tempfile

import pytest
import torch
import torch.multiprocessing as mp

from lit_bg.estimators import ess, forward_ess, log_z
from lit_bg.metrics import ForwardESS, Gathered, KishESS


def weights(rank: int, n: int) -> torch.Tensor:
    """Log weights of one rank; the ranks differ in level, so that their own ESS say nothing of the whole."""
    rng = torch.Generator().manual_seed(rank)
    return torch.randn(n, generator=rng) + 3 * rank


def test_batches_add_up():
    log_w = torch.cat([weights(0, 100), torch.tensor([-torch.inf])])
    metric = KishESS()
    for part in log_w.split(7):
        metric.update(part)
    result = metric.compute()
    assert result.ess == pytest.approx(ess(log_w), rel=1e-12)
    assert (result.log_Z, result.log_Z_err) == pytest.approx(log_z(log_w), rel=1e-12)
    assert result.max_weight == pytest.approx(torch.softmax(log_w.double(), 0).max().item(), rel=1e-12)
    assert (result.n, result.n_zero) == (101, 1)


def test_a_shift_of_the_energy_changes_nothing_but_log_z():
    near, far = KishESS(), KishESS()
    near.update(weights(0, 50).double())
    far.update(weights(0, 50).double() + 1e4)  # exp would overflow
    assert far.compute().ess == pytest.approx(near.compute().ess, rel=1e-9)
    assert far.compute().log_Z - 1e4 == pytest.approx(near.compute().log_Z, abs=1e-9)


def test_no_weight_at_all():
    metric = KishESS()
    metric.update(torch.full((3,), -torch.inf))
    assert metric.compute().ess == 0
    assert metric.compute().log_Z == -math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(bad):
    with pytest.raises(ValueError, match="1 of 2 log weights are NaN or"):
        KishESS().update(torch.tensor([0.0, bad]))


def test_forward_ess():
    metric = ForwardESS()
    assert math.isnan(metric.compute().item())
    metric.reset()
    for part in weights(0, 100).split(30):
        metric.update(part)
    assert metric.compute().item() == pytest.approx(forward_ess(weights(0, 100)), rel=1e-12)


def test_forward_ess_of_data_the_model_excludes():
    metric = ForwardESS()
    metric.update(torch.tensor([0.0, -torch.inf]))
    assert metric.compute().item() == 0


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
    kish, forward = KishESS(), ForwardESS()
    table = Gathered(log_w=torch.empty(0, dtype=torch.float64), x=torch.empty(0, 2))
    kish.update(log_w)
    forward.update(log_w)
    if rank == 1:  # the other has seen nothing
        table.update(log_w=log_w, x=torch.ones(len(log_w), 2))
    everything = torch.cat([weights(r, sizes[r]) for r in range(2)])
    columns = table.compute()
    found = {
        "kish": kish.compute().ess,
        "log_Z": kish.compute().log_Z,
        "n": kish.compute().n,
        "forward": forward.compute().item(),
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
        assert found["kish"] == pytest.approx(ess(everything), rel=1e-12)
        assert found["log_Z"] == pytest.approx(log_z(everything)[0], rel=1e-12)
        assert found["forward"] == pytest.approx(forward_ess(everything), rel=1e-12)
        assert found["n"] == 317
        assert found["rows"] == (17, 2)
        assert torch.equal(found["column"], weights(1, 17).double())
        assert found["rows_after"] == (19, 2)
    assert abs((first["own"] + second["own"]) / 2 - first["kish"]) > 0.1  # the mean of the ranks' ESS is another number
