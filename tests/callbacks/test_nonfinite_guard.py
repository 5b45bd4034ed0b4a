"""Steps that are not numbers leave no trace, are counted, and end the run past a limit."""

import pytest
import torch
from gaussian_proposal import GaussianProposal, Reverse, TwoWells, assemble
from lightning.pytorch import Callback

from lit_bg.callbacks import NonFiniteGuard
from lit_bg.data.module import Data


class Watch(Callback):
    """Parameters and Adam's moments after every step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        moments = [s["exp_avg"].clone() for s in trainer.optimizers[0].state.values()]
        self.steps.append([p.detach().clone() for p in pl_module.generator.parameters()] + moments)


def data(steps=6):
    return Data(batch_size=32, steps_per_epoch=steps, val_samples=64)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.filterwarnings("ignore")
def test_a_bad_step_leaves_no_trace(tmp_path):
    watch, guard = Watch(), NonFiniteGuard()
    module, loaders, trainer = assemble(
        tmp_path, TwoWells(3.0), GaussianProposal(), [guard, watch], Reverse(broken=[3]), data=data()
    )
    trainer.fit(module, loaders)
    assert guard.count == 1
    assert trainer.callback_metrics["train/skipped_steps"] == 1
    assert same(watch.steps[3], watch.steps[2])  # neither parameters nor moments
    assert not same(watch.steps[4], watch.steps[3])
    assert all(torch.isfinite(p).all() for p in module.generator.parameters())


@pytest.mark.filterwarnings("ignore")
def test_a_bad_gradient_of_a_good_loss_counts(tmp_path):
    class Spike(Reverse):
        def forward(self, batch):
            loss = super().forward(batch)
            return loss + torch.sqrt((self.generator.loc.sum() * 0).abs()) if self.step == 2 else loss

    guard = NonFiniteGuard()
    module, loaders, trainer = assemble(tmp_path, TwoWells(3.0), GaussianProposal(), [guard], Spike(), data=data())
    trainer.fit(module, loaders)
    assert guard.count == 1
    assert all(torch.isfinite(p).all() for p in module.generator.parameters())


@pytest.mark.filterwarnings("ignore")
def test_past_the_limit_the_run_stops_with_a_checkpoint(tmp_path):
    broken = Reverse(broken=range(2, 100))
    module, loaders, trainer = assemble(
        tmp_path, TwoWells(3.0), GaussianProposal(), [NonFiniteGuard(limit=2)], broken, data=data()
    )
    with pytest.raises(FloatingPointError, match=r"3 training steps had a non-finite loss \(limit 2\), the last at step 5"):
        trainer.fit(module, loaders)
    checkpoint = torch.load(tmp_path / "run/version_0/checkpoints/nonfinite.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5
    assert torch.equal(checkpoint["state_dict"]["generator.loc"], module.generator.loc)
    assert all(torch.isfinite(v).all() for k, v in checkpoint["state_dict"].items() if k.startswith("generator"))
    resumed = NonFiniteGuard()
    resumed.load_state_dict(checkpoint["callbacks"]["NonFiniteGuard"])
    assert resumed.count == 3


@pytest.mark.filterwarnings("ignore")
def test_ten_in_a_row_are_enough(tmp_path):
    broken = Reverse(broken=[1, 2, 3, *range(5, 100)])
    module, loaders, trainer = assemble(
        tmp_path, TwoWells(3.0), GaussianProposal(), [NonFiniteGuard()], broken, data=data(steps=30)
    )
    with pytest.raises(FloatingPointError, match=r"10 training steps in a row had a non-finite loss .* the last at step 15"):
        trainer.fit(module, loaders)


def test_refusal():
    with pytest.raises(ValueError, match="cannot be negative, got -1"):
        NonFiniteGuard(limit=-1)
