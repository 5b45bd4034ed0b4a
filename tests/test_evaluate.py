"""An evaluation says what it has cost, to the last pass, and nobody pays for it again."""

import pytest
import torch
from blank_picture import BLANK
from torch import nn

from lit_bg.callbacks import Diagnose, Figures, ParticleDistances, Report
from lit_bg.cost import Cost
from lit_bg.data.dataset import Dataset
from lit_bg.data.module import Data
from lit_bg.energies import Gaussian
from lit_bg.evaluate import ESTIMATED, FEW, FEW_THROUGH_A_SOLVER, evaluate, examine
from lit_bg.generators import ContinuousFlow, CouplingFlow
from lit_bg.losses import ReverseKL
from lit_bg.module import BoltzmannGenerator
from lit_bg.nets import Hutchinson, MLPField
from lit_bg.samples import Frames
from lit_bg.solvers import RungeKutta4

ENERGY = Gaussian(2)


def rng():
    return torch.Generator().manual_seed(0)


def frames(n=37) -> Frames:
    x = ENERGY.exact_samples(n, rng())
    return Frames(x, ENERGY.potential(x), torch.arange(n), torch.zeros(n, dtype=torch.long))


class Counted(MLPField):
    """Counts the configurations that it is asked at."""

    rows = 0

    def forward(self, t, x, context=None):
        self.rows += len(x)
        return super().forward(t, x, context)


@pytest.mark.parametrize("estimated", [False, True])
def test_the_cost_counts_every_evaluation_of_the_field(estimated):
    field = Counted((8,))
    divergence = {"divergence": Hutchinson()} if estimated else {}
    flow = ContinuousFlow(field, solver=RungeKutta4(2), **divergence).build(ENERGY)
    energy = Gaussian(2)
    found = evaluate(flow, energy, 300, rng(), frames())
    passes = 300 + FEW_THROUGH_A_SOLVER + 37 + (2 * ESTIMATED if estimated else 0)
    assert (found.cost.energies, found.cost.gradients, found.cost.densities) == (300, 0, passes)
    assert found.cost.field_evaluations == 8 * passes
    if estimated:  # else the divergence takes several configurations of its own for each
        assert field.rows == 8 * passes
    assert found.cost.seconds > 0
    assert found.exact_density is not estimated
    assert (found.variance is not None) is estimated
    again = examine(flow, energy, found.proposals, rng(), frames())
    assert again.cost.densities == passes - 300
    assert again.cost.energies == 0


def test_a_flow_without_a_field_costs_passes_alone():
    flow = CouplingFlow(1, hidden=(4,)).build(ENERGY)
    found = evaluate(flow, ENERGY, 300, rng(), frames(), twice=False)
    assert found.cost == Cost(energies=300, densities=337, seconds=found.cost.seconds)
    assert evaluate(flow, ENERGY, 300, rng()).cost.densities == 300 + FEW
    assert found.field_evaluations is None


def test_observers_ask_the_generator_and_the_energy_nothing(tmp_path, monkeypatch):
    """All of them together pay what the evaluation says, for proposals, frames and estimates alike."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers import CSVLogger

    monkeypatch.setattr("lit_bg.figures.style.png", lambda figure: BLANK)
    x, n = ENERGY.exact_samples(400, rng()), 400
    dataset = Dataset(
        x, ENERGY.potential(x), torch.arange(n) // 100, torch.arange(n) % 100, {"statistical_inefficiency": {"u": 1.0}}
    )
    data = Data(val_samples=300, test_samples=300, eval_batch_size=110)
    data.dataset, (data.train, data.held) = dataset, dataset.split(0.25)
    field, energy = Counted((8,)), Gaussian(2)
    flow = ContinuousFlow(field, solver=RungeKutta4(2), divergence=Hutchinson())
    module = BoltzmannGenerator(energy, flow, ReverseKL(), lambda p: torch.optim.Adam(p))
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=[Figures(), ParticleDistances(), Diagnose(), Report()],
        logger=CSVLogger(str(tmp_path), name="run", version=0),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        inference_mode=False,
    )
    field.rows, before = 0, energy.n_values
    trainer.test(module, data, verbose=False)
    cost = module.record.evaluation.cost
    assert cost.energies == energy.n_values - before == 300
    assert cost.densities == 300 + FEW_THROUGH_A_SOLVER + len(data.held) + 3 * 2 * ESTIMATED
    assert cost.field_evaluations == module.generator.field.rows == 8 * cost.densities
    assert module.record.judgement.cost == cost


def test_a_module_that_was_never_evaluated_says_so():
    module = BoltzmannGenerator(Gaussian(2), CouplingFlow(1, hidden=(4,)), ReverseKL(), lambda p: torch.optim.Adam(p))
    with pytest.raises(RuntimeError, match="run a validation or a test first"):
        _ = module.record
    assert not any(isinstance(part, nn.Module) and "pool" in name for name, part in module.named_modules())
