"""Every law of diagnostics holds for our own observers, and catches an observer that breaks it."""

import pytest
import torch

from lit_bg.callbacks import Diagnose, Figures, Observer, ParticleDistances, Report
from lit_bg.data import Dataset
from lit_bg.energies import DW4, DoubleWell, Gaussian
from lit_bg.generators import ContinuousFlow, CouplingFlow
from lit_bg.kernels import MALA
from lit_bg.nets import KernelField
from lit_bg.simulators import Simulation
from lit_bg.solvers import RungeKutta4
from lit_bg.testing import DIAGNOSTIC_LAWS, DiagnosticCase, check_diagnostic


class Largest(Observer):
    """The largest weight of the finite proposals."""

    def conclude(self, trainer, module, stage):
        proposals = module.record.evaluation.proposals
        log_w = proposals.log_w[proposals.finite]
        if len(log_w):
            module.record.more["largest"] = log_w.max().item()
            module.log(f"{stage}/largest", log_w.max())


class InPlace(Largest):
    def conclude(self, trainer, module, stage):
        module.record.evaluation.proposals.u.clamp_(max=3.0)


class Replaces(Largest):
    def conclude(self, trainer, module, stage):
        module.record.judgement = None


class Global(Largest):
    def conclude(self, trainer, module, stage):
        module.record.more["some"] = torch.randint(3, ()).item()


class AsksAgain(Largest):
    def conclude(self, trainer, module, stage):
        module.energy(module.record.evaluation.proposals.x)


class AddsUp(Largest):
    def __init__(self):
        self.n = 0

    def observe(self, trainer, module, evaluation):
        self.n += len(evaluation.proposals.x)

    def conclude(self, trainer, module, stage):
        module.record.more["n"] = self.n


class WithoutStage(Largest):
    def conclude(self, trainer, module, stage):
        module.log("largest", 1.0)


class LogsNaN(Largest):
    def conclude(self, trainer, module, stage):
        module.log(f"{stage}/largest", float("nan"))


class Tensors(Largest):
    def conclude(self, trainer, module, stage):
        module.record.more["largest"] = module.record.evaluation.proposals.log_w.max()


class TakenKey(Largest):
    def conclude(self, trainer, module, stage):
        module.record.more["ess"] = 0.5


class IntegerKeys(Largest):
    def conclude(self, trainer, module, stage):
        module.record.more["rows"] = {1: 0.5}


class NeedsFinite(Largest):
    def conclude(self, trainer, module, stage):
        proposals = module.record.evaluation.proposals
        assert proposals.finite.all()


class NeedsOne(Largest):
    def conclude(self, trainer, module, stage):
        proposals = module.record.evaluation.proposals
        module.record.more["largest"] = proposals.log_w[proposals.finite].max().item()


class Forgets(Largest):
    """Compares with the best so far, and does not keep it in checkpoints."""

    def __init__(self):
        self.best = -1.0

    def conclude(self, trainer, module, stage):
        self.best += 1.0
        module.record.more["best"] = self.best


class OddState(Largest):
    def state_dict(self):
        return {"of": DoubleWell()}


class Local(Largest):
    def __init__(self):
        self.function = lambda x: x


BREACHES = [
    (InPlace, "evaluation", "changes 'u' of the evaluation in place"),
    (Replaces, "evaluation", "replaces what Diagnose has found"),
    (Global, "evaluation", "draws from the global random numbers"),
    (AsksAgain, "bill", "evaluates 500 energies beside the 500"),
    (AddsUp, "again", r"depends on an earlier evaluation: forget it in begin\(\) \('n' is 500 and then 1002\)"),
    (WithoutStage, "names", "logs 'largest' in stage 'val'"),
    (LogsNaN, "names", "logs 'val/largest' as NaN"),
    (Tensors, "summary", "does not go into summary.json"),
    (TakenKey, "summary", "'ess' is a key of Summary already"),
    (IntegerKeys, "summary", "does not come back"),
    (NeedsFinite, "poor proposals", "fails where every second proposal has an infinite energy"),
    (NeedsOne, "poor proposals", "fails where every proposal has an infinite energy"),
    (Forgets, "checkpoint", "goes on differently after a resume"),
    (OddState, "checkpoint", "does not go through a checkpoint"),
    (Local, "checkpoint", "cannot be pickled"),
]


@pytest.mark.parametrize("observer", [Diagnose(), Largest()], ids=lambda o: type(o).__name__)
def test_an_observer_obeys_every_law(observer):
    assert set(check_diagnostic(observer, Gaussian(2), n=100).held) == set(DIAGNOSTIC_LAWS)


@pytest.mark.slow
@pytest.mark.parametrize("observer", [Diagnose(), ParticleDistances(), Figures(), Report()], ids=lambda o: type(o).__name__)
def test_our_own_observers_obey_every_law(observer, tmp_path):
    """Beside reference data of particles, so that all have something to say."""
    energy = DW4()
    simulation = Simulation(MALA(0.1), frames=50, walkers=20, burn_in=50)
    data = Dataset.from_trajectory(energy, simulation.run(energy, seed=0, progress=lambda *_: None), simulation, seed=0)
    data.save(tmp_path / "dw4.npz")
    flow = ContinuousFlow(KernelField(), solver=RungeKutta4(4))
    found = check_diagnostic(observer, energy, flow, data=str(tmp_path / "dw4.npz"), n=100)
    assert set(found.held) == set(DIAGNOSTIC_LAWS)


@pytest.mark.parametrize(("observer", "law", "sentence"), BREACHES, ids=lambda value: getattr(value, "__name__", None))
def test_a_breach_is_caught_and_said(observer, law, sentence):
    case = DiagnosticCase(observer(), Gaussian(2), CouplingFlow(blocks=1, hidden=(4,)))
    with pytest.raises(AssertionError, match=sentence):
        DIAGNOSTIC_LAWS[law](case)


def test_every_law_is_broken_by_somebody():
    assert {law for _, law, _ in BREACHES} == set(DIAGNOSTIC_LAWS)
