"""The averaged generator."""

import pytest
import torch
from gaussian_proposal import GaussianProposal, Reverse, TwoWells, assemble
from lightning.pytorch import Callback

from lit_bg.callbacks import EMA
from lit_bg.data.module import Data


class Path_(Callback):
    """Parameters after every training batch."""

    def __init__(self):
        self.locs = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        self.locs.append(pl_module.generator.loc.detach().clone())


def data(steps=6):
    return Data(batch_size=32, steps_per_epoch=steps, val_samples=64)


def test_the_average_follows_its_formula(tmp_path):
    path = Path_()
    module, loaders, trainer = assemble(tmp_path, TwoWells(3.0), GaussianProposal(), [EMA(0.5), path], data=data())
    start = module.generator.loc.detach().clone()
    trainer.fit(module, loaders)
    mean = start
    for t, loc in enumerate(path.locs, start=1):
        decay = min(0.5, (1 + t) / (10 + t))
        mean = decay * mean + (1 - decay) * loc
    torch.testing.assert_close(module.averaged.loc.detach(), mean)
    assert not torch.allclose(mean, path.locs[-1])
    assert not any(p.requires_grad for p in module.averaged.parameters())


def test_validation_draws_from_the_average(tmp_path):
    module, loaders, trainer = assemble(tmp_path, TwoWells(3.0), GaussianProposal(), [EMA(0.9)], data=data())
    trainer.fit(module, loaders)
    assert module.proposer is module.averaged
    with torch.no_grad():
        module.averaged.loc.fill_(100.0)
    seen = []

    class See(Callback):
        def on_validation_batch_end(self, trainer, pl_module, outputs, *args):
            seen.append(outputs.proposals.x.mean().item())

    trainer.callbacks.append(See())
    trainer.validate(module, loaders, verbose=False)
    assert seen[0] == pytest.approx(100, abs=1)


def test_accumulated_gradients_count_as_one_step(tmp_path):
    ema, path = EMA(0.5), Path_()
    module, loaders, trainer = assemble(
        tmp_path, TwoWells(3.0), GaussianProposal(), [ema, path], data=data(), accumulate_grad_batches=3
    )
    start = module.generator.loc.detach().clone()
    trainer.fit(module, loaders)
    mean = start
    for t in (1, 2):
        decay = min(0.5, (1 + t) / (10 + t))
        mean = decay * mean + (1 - decay) * path.locs[3 * t - 1]
    torch.testing.assert_close(module.averaged.loc.detach(), mean)


def test_checkpoint_round_trip(tmp_path):
    """A resumed run continues the average bit for bit."""

    def run(epochs, ckpt=None):
        module, loaders, trainer = assemble(
            tmp_path, TwoWells(3.0), GaussianProposal(), [EMA(0.9)], Reverse(), data=data(), max_epochs=epochs
        )
        trainer.fit(module, loaders, ckpt_path=ckpt, weights_only=True)
        return module, trainer

    whole, _ = run(2)
    half, trainer = run(1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    keys = torch.load(tmp_path / "half.ckpt", weights_only=True)["state_dict"]
    assert torch.equal(keys["averaged.loc"], half.averaged.loc)
    resumed, _ = run(2, str(tmp_path / "half.ckpt"))
    assert torch.equal(resumed.averaged.loc, whole.averaged.loc)
    assert torch.equal(resumed.generator.loc, whole.generator.loc)
    assert not torch.equal(half.averaged.loc, whole.averaged.loc)


def test_refusal():
    with pytest.raises(ValueError, match="below 1, got 1"):
        EMA(decay=1.0)
