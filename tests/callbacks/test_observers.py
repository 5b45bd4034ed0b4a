"""The numbers that observers report, against exact answers and against the gathered samples."""

import json

import numpy as np
import pytest
import torch
from gaussian_proposal import GaussianProposal, Reverse, TwoWells, assemble
from lightning.pytorch import Callback

from lit_bg.callbacks import Diagnose, Observer, Report
from lit_bg.data.dataset import Dataset
from lit_bg.data.module import Data
from lit_bg.energies import DoubleWell
from lit_bg.estimators import ess, expectation, forward_ess, log_z, pareto_k, profile
from lit_bg.evaluate import FEW
from lit_bg.generators import ContinuousFlow
from lit_bg.nets import Hutchinson, VectorField
from lit_bg.report.summary import Summary
from lit_bg.solvers import RungeKutta4


class Remember(Callback):
    """Keeps every evaluation."""

    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, *args):
        self.seen.append(outputs)


def observers():
    return [Diagnose(), Report()]


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A broad Gaussian proposal tested on the double well: every mode is seen, nothing is learned."""
    folder, remember = tmp_path_factory.mktemp("tested"), Remember()
    module, data, trainer = assemble(folder, DoubleWell(), GaussianProposal(scale=2.0), [*observers(), remember])
    trainer.test(module, data, verbose=False)
    run = folder / "run" / "version_0"
    return (
        trainer,
        json.loads((run / "summary.json").read_text()),
        dict(np.load(run / "samples.npz")),
        remember.seen,
        run,
    )


def test_numbers_are_those_of_the_saved_samples(tested):
    trainer, summary, samples, _, _ = tested
    log_w = torch.from_numpy(-samples["u"] - samples["log_q"])
    assert samples["x"].shape == (4000, 2)
    assert summary["n_samples"] == 4000
    assert summary["ess"] == pytest.approx(ess(log_w), rel=1e-6)
    assert summary["pareto_k"] == pytest.approx(pareto_k(log_w), abs=1e-3)
    assert (summary["log_Z"], summary["log_Z_err"]) == pytest.approx(log_z(log_w), rel=1e-6)
    assert summary["energy_calls"] == 4000
    left = expectation(torch.from_numpy(samples["x"][:, 0] < 0).double(), log_w)
    assert (summary["modes"]["left"]["reweighted"], summary["modes"]["left"]["err"]) == pytest.approx(left, rel=1e-6)
    assert summary["modes"]["left"]["raw"] == pytest.approx((samples["x"][:, 0] < 0).mean())
    assert trainer.callback_metrics["test/ess"].item() == pytest.approx(summary["ess"], rel=1e-6)
    assert trainer.callback_metrics["test/missing_modes"] == 0


def test_reweighting_recovers_the_exact_values(tested):
    _, summary, _, _, _ = tested
    energy = DoubleWell()
    assert abs(summary["log_Z"] - energy.log_Z) < 4 * summary["log_Z_err"]
    for name, observable in energy.observables.items():
        row = summary["observables"][name]
        assert abs(row["reweighted"] - observable.exact) < 4 * row["err"]
        assert row["exact"] == pytest.approx(observable.exact)
        assert abs(row["raw"] - row["reweighted"]) > 4 * row["err"]  # the proposal alone is wrong
    assert summary["verdict"] == "trust", summary["reasons"]


def test_a_profile_is_in_the_run_folder(tested):
    _, _, samples, _, run = tested
    saved = np.load(run / "profiles.npz")
    edges = torch.from_numpy(saved["x1/edges"])
    f, err = profile(torch.from_numpy(samples["x"][:, 0]), torch.from_numpy(-samples["u"] - samples["log_q"]), edges)
    np.testing.assert_allclose(saved["x1/reweighted"], f, rtol=1e-5)
    np.testing.assert_allclose(saved["x1/reweighted_err"], err, rtol=1e-4)
    seen = ~np.isnan(saved["x1/reference"]) & ~np.isnan(saved["x1/reweighted"])
    z = (saved["x1/reweighted"] - saved["x1/reference"])[seen] / saved["x1/reweighted_err"][seen]
    assert seen.sum() > 20
    assert np.abs(z[saved["x1/reweighted"][seen] < 3]).max() < 5  # exact samples are the reference here


def test_nothing_is_generated_twice(tested):
    _, _, samples, seen, _ = tested
    x = torch.cat([evaluation.proposals.x for evaluation in seen])
    assert torch.equal(torch.from_numpy(samples["x"]), x)


def exact_data(energy, n=4000, walkers=8) -> Dataset:
    x = energy.exact_samples(n, torch.Generator().manual_seed(5))
    with torch.no_grad():
        u = energy.potential(x) / energy.kT
    walker = torch.arange(n) // (n // walkers)
    frame = torch.arange(n) % (n // walkers)
    return Dataset(x=x, u=u, walker=walker, frame=frame, card={"statistical_inefficiency": {"u": 1.0}})


def test_reference_data_give_a_forward_ess_and_references(tmp_path):
    energy = DoubleWell()
    data = Data(test_samples=3000, eval_batch_size=1000)
    data.dataset = exact_data(energy)
    data.train, data.held = data.dataset.split(0.5)
    remember = Remember()
    module, data, trainer = assemble(tmp_path, energy, GaussianProposal(scale=2.0), [*observers(), remember], data=data)
    trainer.test(module, data, verbose=False)
    summary = json.loads((tmp_path / "run/version_0/summary.json").read_text())
    held = torch.cat([evaluation.reference.log_w for evaluation in remember.seen])
    assert len(held) == 2000
    assert summary["ess_forward"] == pytest.approx(forward_ess(held), rel=1e-6)
    row = summary["observables"]["P(x1<0)"]
    a = (data.dataset.x[:, 0] < 0).double()
    assert (row["reference"], row["reference_err"]) == pytest.approx(data.dataset.mean(a))
    assert abs(row["reference"] - row["exact"]) < 4 * row["reference_err"]


def test_a_collapsed_generator_is_never_called_good(tmp_path, capsys):
    """Reverse KL on two far wells: one well is lost, the ESS is 1, and every weight looks perfect."""
    module, data, trainer = assemble(tmp_path, TwoWells(), GaussianProposal(loc=0.0, scale=1.0), observers(), Reverse())
    with torch.no_grad():
        module.generator.loc.copy_(torch.tensor([-10.0, 0.0]))  # where reverse KL ends
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    summary = json.loads((tmp_path / "run/version_0/summary.json").read_text())
    assert summary["ess"] > 0.9
    assert summary["missing_modes"] == ["right"]
    assert summary["modes"]["right"]["missing"] is True
    assert summary["verdict"] == "do not trust"
    assert "lost mode right" in " ".join(summary["reasons"])
    assert "log Z" in " ".join(summary["reasons"])
    said = capsys.readouterr().out
    assert "Verdict: do not trust" in said
    assert said.strip().endswith("version_0")


def test_a_collapse_that_nothing_can_show_is_unchecked(tmp_path):
    energy = TwoWells(known=False)
    module, data, trainer = assemble(tmp_path, energy, GaussianProposal(), observers())
    with torch.no_grad():
        module.generator.loc.copy_(torch.tensor([-10.0, 0.0]))
    trainer.test(module, data, verbose=False)
    summary = json.loads((tmp_path / "run/version_0/summary.json").read_text())
    assert summary["ess"] > 0.9
    assert summary["verdict"] == "unchecked"
    assert "lost mode" in summary["reasons"][0]


def test_an_estimated_log_q_is_told_with_its_variance(tmp_path):
    """The noise of v = 0.6 (x2, x1) estimated with signs: log q has variance $1.2^2$, each estimate of it 0 or twice that."""

    class Swap(VectorField):
        def build(self, energy):
            self.rate = torch.nn.Parameter(torch.tensor(0.6))
            return self

        def forward(self, t, x, context=None):
            return self.rate * x.flip(-1)

    flow = ContinuousFlow(Swap(), solver=RungeKutta4(4), divergence=Hutchinson())
    module, data, trainer = assemble(tmp_path, DoubleWell(), flow, observers())
    trainer.test(module, data, verbose=False)
    summary = json.loads((tmp_path / "run" / "version_0" / "summary.json").read_text())
    assert summary["log_q_variance"] == pytest.approx(1.44, rel=0.25)
    assert trainer.callback_metrics["test/log_q_variance"].item() == pytest.approx(summary["log_q_variance"])
    assert summary["verdict"] == "do not trust"


def test_summary_json_has_the_promised_keys(tested):
    _, summary, _, _, _ = tested
    assert {"n_samples", "ess", "pareto_k", "log_Z", "log_Z_err", "energy_calls", "seconds"} <= summary.keys()
    assert summary["ess_forward"] is None
    assert {"raw", "reweighted", "err", "reference", "unit"} <= summary["observables"]["x1"].keys()
    assert {"raw", "reweighted", "err", "reference"} <= summary["modes"]["right"].keys()
    assert summary["seconds"] > 0


def test_validation_logs_sections_and_best_ess(tmp_path):
    callback = Diagnose()
    module, data, trainer = assemble(tmp_path, TwoWells(1.0), GaussianProposal(), [callback])
    trainer.fit(module, data)
    logged = trainer.callback_metrics
    assert {"val/ess", "val/pareto_k", "val/log_Z", "val/log_Z_err", "val/energy_calls", "val/x1"} <= logged.keys()
    assert callback.best == pytest.approx(logged["val/ess"].item())
    assert logged["val/energy_calls"] == 5 * 64 + 500
    restored = Diagnose()
    restored.load_state_dict(callback.state_dict())
    assert restored.best == callback.best


def test_a_collapse_of_the_ess_is_told_once(tmp_path):
    class Push(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                pl_module.generator.loc.data += 6.0

    module, data, trainer = assemble(tmp_path, TwoWells(0.0), GaussianProposal(), [Diagnose(0.1), Push()], max_epochs=4)
    with pytest.warns(UserWarning, match="ESS has collapsed") as caught:
        trainer.fit(module, data)
    assert sum("collapsed" in str(w.message) for w in caught) == 1


def test_no_finite_energy_at_all(tmp_path):
    class Nowhere(TwoWells):
        def potential(self, x):
            return super().potential(x) * torch.nan

    module, data, trainer = assemble(tmp_path, Nowhere(), GaussianProposal(), observers())
    trainer.test(module, data, verbose=False)
    summary = json.loads((tmp_path / "run/version_0/summary.json").read_text())
    assert (summary["ess"], summary["n_nonfinite"], summary["log_Z"]) == (0.0, 4000, None)
    assert summary["verdict"] == "do not trust"
    assert summary["observables"]["x1"]["reweighted"] is None


def test_a_test_of_an_earlier_checkpoint_forgets_no_energy_call_and_no_time(tmp_path):
    """The best state may be an old one; the run has cost what it has cost."""

    class Early(Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            if trainer.global_step == 2:
                trainer.save_checkpoint(tmp_path / "early.ckpt")

    module, data, trainer = assemble(tmp_path, TwoWells(1.0), GaussianProposal(), [*observers(), Early()])
    trainer.fit(module, data)
    trainer.test(module, data, ckpt_path=tmp_path / "early.ckpt", verbose=False, weights_only=True)
    summary = json.loads((tmp_path / "run/version_0/summary.json").read_text())
    assert summary["energy_calls"] == 5 * 64 + 500 + 4000
    report = next(c for c in trainer.callbacks if isinstance(c, Report))
    assert summary["seconds"] <= report.seconds
    assert report._before == 0  # the time in the checkpoint is part of this process's own


def test_a_resumed_run_adds_up_its_time():
    report = Report()
    report.setup(None, None, "fit")
    report.load_state_dict({"seconds": 100.0})
    assert 100 <= report.seconds < 101


def test_an_observer_of_a_user_adds_to_the_summary(tmp_path):
    """It takes the pooled evaluation, whatever its place among the callbacks, and its key stands among the others."""

    class LargestWeights(Observer):
        def conclude(self, trainer, module, stage):
            log_w = module.record.evaluation.proposals.log_w
            module.record.more["largest"] = log_w.topk(2).values.tolist()

    module, data, trainer = assemble(tmp_path, DoubleWell(), GaussianProposal(scale=2.0), [LargestWeights(), *observers()])
    trainer.test(module, data, verbose=False)
    file = tmp_path / "run/version_0/summary.json"
    samples = np.load(tmp_path / "run/version_0/samples.npz")
    log_w = np.sort(-samples["u"] - samples["log_q"])
    assert json.loads(file.read_text())["largest"] == pytest.approx(log_w[-1:-3:-1].tolist())
    assert Summary.read(file).more == {"largest": pytest.approx(log_w[-1:-3:-1].tolist())}


def test_a_report_without_findings_is_refused(tmp_path):
    module, data, trainer = assemble(tmp_path, DoubleWell(), GaussianProposal(), [Report()])
    with pytest.raises(ValueError, match="put it among the callbacks too"):
        trainer.test(module, data, verbose=False)


def test_summary_json_is_the_summary_and_holds_what_the_test_cost(tested):
    _, summary, _, _, run = tested
    found = Summary.read(run / "summary.json")
    assert json.loads(found.to_json()) == summary
    assert (found.cost.energies, found.cost.gradients, found.cost.densities) == (4000, 0, 4000 + FEW)
    assert found.cost_per_effective_sample.energies == pytest.approx(1 / found.samples.ess)
    assert found.origin.energy_calls == 4000


def test_a_damaged_picture_costs_the_page_alone(tmp_path, capsys):
    module, data, trainer = assemble(tmp_path, DoubleWell(), GaussianProposal(scale=2.0), observers())
    run = tmp_path / "run/version_0"
    (run / "figures").mkdir(parents=True)
    (run / "figures/mine.png").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="the run has no page: the figure '.*mine' is no PNG"):
        trainer.test(module, data, verbose=False)
    assert Summary.read(run / "summary.json").verdict == "trust"
    assert "Verdict: trust" in capsys.readouterr().out
    assert not (run / "report.html").exists()


def test_refusals():
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        Diagnose(collapse=2)
    with pytest.raises(ValueError, match="at least 2 bins, got 1"):
        Diagnose(bins=1)
