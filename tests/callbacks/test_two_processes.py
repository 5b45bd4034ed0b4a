"""Observers on two ranks report what the gathered samples give, and stop together."""

import json

import numpy as np
import pytest
import torch
from gaussian_proposal import GaussianProposal, Reverse, TwoWells, assemble

from lit_bg.callbacks import EMA, Diagnose, NonFiniteGuard, Report
from lit_bg.data.module import Data
from lit_bg.energies import DoubleWell
from lit_bg.estimators import ess, expectation, log_z
from lit_bg.generators import ContinuousFlow
from lit_bg.losses import FlowMatching, ReverseKL
from lit_bg.nets import MLPField
from lit_bg.solvers import RungeKutta4

TWO_RANKS = {"strategy": "ddp_spawn", "devices": 2}


@pytest.mark.slow  # tests/metrics and tests/test_fit.py have two processes too
def test_the_logged_ess_is_that_of_the_gathered_samples(tmp_path):
    callbacks = [EMA(), NonFiniteGuard(), Diagnose(), Report()]
    data = Data(batch_size=64, steps_per_epoch=3, val_samples=500, test_samples=2001, eval_batch_size=700)
    module, data, trainer = assemble(tmp_path, DoubleWell(), GaussianProposal(scale=2.0), callbacks, data=data, **TWO_RANKS)
    trainer.test(module, data, verbose=False)
    run = tmp_path / "run/version_0"
    summary, samples = json.loads((run / "summary.json").read_text()), np.load(run / "samples.npz")
    log_w = torch.from_numpy(-samples["u"] - samples["log_q"])
    assert len(log_w) == summary["n_samples"] == summary["energy_calls"] == 2001
    assert len(np.unique(samples["x"][:, 0])) == 2001  # the ranks' noise differs
    assert summary["ess"] == pytest.approx(ess(log_w), rel=1e-6)
    assert (summary["log_Z"], summary["log_Z_err"]) == pytest.approx(log_z(log_w), rel=1e-6)
    a = torch.from_numpy(samples["x"][:, 0].astype(float))
    row = summary["observables"]["x1"]
    assert (row["reweighted"], row["err"]) == pytest.approx(expectation(a, log_w), rel=1e-5)
    # CSVLogger writes what was logged
    assert trainer.callback_metrics["test/ess"].item() == pytest.approx(ess(log_w), rel=1e-6)


class OneRankBreaks(Reverse):
    """A loss that is infinite on one rank alone, with a finite gradient."""

    def forward(self, batch):
        loss = super().forward(batch)
        broken = self.step >= 1 and torch.distributed.get_rank() == 1
        return loss + torch.inf if broken else loss


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_breaks_on_one_rank_stops_both(tmp_path):
    data = Data(batch_size=64, steps_per_epoch=5, val_samples=100)
    module, data, trainer = assemble(
        tmp_path, TwoWells(3.0), GaussianProposal(), [NonFiniteGuard(limit=1)], OneRankBreaks(), data, **TWO_RANKS
    )
    with pytest.raises(Exception, match="2 training steps had a non-finite"):
        trainer.fit(module, data)
    checkpoint = torch.load(tmp_path / "run/version_0/checkpoints/nonfinite.ckpt", weights_only=True)
    assert checkpoint["callbacks"]["NonFiniteGuard"] == {"count": 2}
    assert checkpoint["global_step"] == 3


class OneRankHas(DoubleWell):
    """Energies that are NaN or -inf on one rank alone, or NaN on both."""

    def __init__(self, value: float, ranks: tuple[int, ...]) -> None:
        super().__init__()
        self.value, self.ranks = value, ranks

    def potential(self, x):
        u = super().potential(x)
        here = torch.distributed.is_initialized() and torch.distributed.get_rank() in self.ranks
        return torch.full_like(u, self.value) if here else u


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("value", "ranks", "said"),
    [
        (-torch.inf, (1,), "stopped at step 0: (another process has met|OneRankHas gave u = -inf)"),
        (torch.nan, (0, 1), "stopped at step 0: none of 32 proposals has a finite energy"),
        (torch.nan, (1,), None),  # the other rank teaches
    ],
)
def test_energies_that_are_not_finite_stop_both_ranks_or_none(tmp_path, value, ranks, said):
    energy, data = OneRankHas(value, ranks), Data(batch_size=64, steps_per_epoch=3, val_samples=100)
    module, data, trainer = assemble(tmp_path, energy, GaussianProposal(), [], ReverseKL(), data, **TWO_RANKS)
    if said is None:
        trainer.fit(module, data)
        assert torch.isfinite(trainer.callback_metrics["train/loss"])
    else:
        with pytest.raises(Exception, match=said):
            trainer.fit(module, data)


@pytest.mark.slow
def test_flow_matching_on_two_ranks_learns_what_one_learns(tmp_path):
    """The held-out NLL of two ranks lies within the scatter of seeds of one process."""
    energy = DoubleWell()
    frames = energy.exact_samples(20_000, torch.Generator().manual_seed(0)).reshape(500, 40, 2)
    np.savez(tmp_path / "exact.npz", x=frames.numpy())
    fresh = energy.exact_samples(2000, torch.Generator().manual_seed(1))

    def held_out_nll(name, seed, **trainer):
        torch.manual_seed(seed)
        data = Data(path=str(tmp_path / "exact.npz"), batch_size=256, steps_per_epoch=600, val_samples=100)
        flow = ContinuousFlow(MLPField((32, 32)), solver=RungeKutta4(8))
        module, data, trainer = assemble(tmp_path / name, energy, flow, [], FlowMatching(), data, **trainer)
        trainer.fit(module, data)
        with torch.no_grad():
            return -module.generator.log_prob(fresh).mean().item()

    alone = [held_out_nll(f"alone{seed}", seed) for seed in (0, 1, 2)]
    together = held_out_nll("together", 0, **TWO_RANKS)
    scatter = np.std(alone, ddof=1)
    assert together == pytest.approx(np.mean(alone), abs=4 * scatter + 0.01)
    assert max(*alone, together) < 1.6  # the entropy of the target is 1.40; a normal density of its widths has 2.39
