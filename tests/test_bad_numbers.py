"""Numbers that cannot be meant, and numbers that training breaks on, end in a sentence with the way out."""

import contextlib
import csv
import io
from pathlib import Path

import numpy as np
import pytest
import small_experiment as experiment
import torch
import yaml
from given_frames import value_of
from lightning.pytorch import Callback

from lit_bg import fit
from lit_bg.energies import DoubleWell, Energy
from lit_bg.energies.trial import try_energy
from lit_bg.generators import CouplingFlow
from lit_bg.losses import ForwardKL, ReactionCoordinate, ReverseKL, WeightedSum
from lit_bg.losses.drought import Drought, NothingFinite
from lit_bg.optimizer_trial import try_optimizer
from lit_bg.spaces import Particles, Vectors

SMALL = {**experiment.SMALL, "data": {"batch_size": 64, "steps_per_epoch": 3, "val_samples": 100, "test_samples": 200}}


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch, empty_figures):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIT_BG_VERSION", raising=False)
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))


def sentence(*args, main=fit.main) -> str:
    """What a refused call says: one line that begins with the name of the package, and exit code 2."""
    with contextlib.redirect_stderr(io.StringIO()) as err, pytest.raises(SystemExit) as stop:
        main(["-c", "small.yaml", *args])
    assert stop.value.code == 2
    said = [line for line in err.getvalue().splitlines() if line.strip()]
    assert len(said) == 1, said
    assert said[0].startswith("lit_bg: ")
    return said[0]


def refused(*args, main=fit.main) -> str:
    """The same before anything is written."""
    said = sentence(*args, main=main)
    assert not Path("runs").exists()
    return said


class NoShape(Energy):
    def potential(self, x):
        return x.square().sum(-1)


class NoPotential(Energy):
    space = Vectors(2)


class NoConstructor(Energy):
    space = Vectors(2)

    def __init__(self):
        pass

    def potential(self, x):
        return x.square().sum(-1)


class Returns(Energy):
    """An energy of the right value in the wrong form."""

    space = Vectors(2)

    def __init__(self, form: str = "column") -> None:
        super().__init__()
        self.form = form

    def potential(self, x):
        u = x.square().sum(-1)
        match self.form:
            case "column":
                return u[:, None]
            case "one number":
                return u.sum()
            case "integers":
                return u.long()
            case "half":
                return u.half()
            case "nothing":
                return None
            case "numpy":
                return u.detach().numpy()
            case "failure":
                return x[:, 7]
            case "no gradient":
                return u.detach()
            case "double":
                return u.double()
        return u


FORMS = {
    "column": r"Returns.potential returned the shape \(3, 1\) for 3 configurations,? and must return \(3,\): drop",
    "one number": r"Returns.potential returned the shape \(\) for 3",
    "integers": "Returns.potential returned torch.int64,? and must return float32 or float64",
    "half": "Returns.potential returned torch.float16",
    "nothing": "Returns.potential returned None",
    "numpy": "Returns.potential returned a ndarray",
    "failure": r"Returns.potential failed .*IndexError: index 7 .*\(test_bad_numbers.py, line \d+\)",
}


class TestEnergiesOfAUser:
    @pytest.mark.parametrize("form", FORMS)
    def test_the_fault_of_a_potential_is_named(self, form):
        with pytest.raises(TypeError, match=FORMS[form]):
            try_energy(Returns(form))

    @pytest.mark.parametrize("form", ["column", "one number", "integers", "half", "nothing", "numpy"])
    def test_every_call_is_checked(self, form):
        with pytest.raises(TypeError, match=r"Returns.potential returned"):
            Returns(form)(torch.zeros(3, 2))

    def test_double_precision_is_welcome_and_nothing_is_counted(self):
        energy = Returns("double")
        try_energy(energy)
        assert energy.n_values == 0

    def test_a_gradient_that_is_lost_is_missed_where_it_is_needed(self):
        energy = Returns("no gradient")
        try_energy(energy)
        with pytest.raises(ValueError, match=r"Returns.potential loses it .*ReweightedKL"):
            ReverseKL().build(DummyGenerator(), energy)
        ReverseKL().build(DummyGenerator(), Returns("double"))

    @pytest.mark.parametrize(
        ("cls", "said"),
        [
            ("NoShape", "NoShape has no space: define it in the class, such as"),
            ("NoPotential", "NoPotential does not define potential"),
            ("NoConstructor", "NoConstructor does not call the constructor of Energy"),
            ("Returns", "Returns.potential returned the shape"),
        ],
    )
    def test_on_the_command_line(self, cls, said):
        assert said in refused(f"--model.energy=test_bad_numbers.{cls}")

    @pytest.mark.parametrize("space", [2, [2], (), (0,), (2.0,), "2"])
    def test_a_space_that_is_none(self, space):
        energy = Returns("double")
        energy.space = space
        with pytest.raises(TypeError, match=r"space of Returns must be one of lit_bg\.spaces"):
            try_energy(energy)

    def test_a_shape_of_one_number_is_so_many_coordinates_and_others_may_be_anything(self):
        class Shaped(Energy):
            event_shape = (3,)

            def potential(self, x):
                return 0.5 * x.square().flatten(1).sum(-1)

        assert Shaped().space == Vectors(3)
        try_energy(Shaped())
        Shaped.event_shape = (2, 3)
        with pytest.raises(TypeError, match=r"Shaped has event_shape = \(2, 3\) and no space: define it in the class, such as"):
            try_energy(Shaped())

    def test_a_centre_of_mass_that_contradicts_the_symmetries(self):
        class Held(Energy):
            space = Particles(3, 2)

            def potential(self, x):
                return 0.5 * x.square().flatten(1).sum(-1)

        with pytest.raises(ValueError, match="measured without its centre of mass and does not name 'translation'"):
            try_energy(Held())
        Held.space, Held.symmetries = Particles(3, 2, centred=False), frozenset({"translation"})
        with pytest.raises(ValueError, match="log Z is infinite: centre it"):
            try_energy(Held())


class NaNs(DoubleWell):
    """A double well that is not finite somewhere, or from some call on."""

    def __init__(self, kind: str = "all", after: int = 0) -> None:
        super().__init__()
        self.kind, self.after, self.calls = kind, after, 0

    def potential(self, x):
        u = super().potential(x)
        self.calls += 1
        if self.calls <= self.after:
            return u
        match self.kind:
            case "some":
                return torch.where(x[..., 1] > 1.0, torch.nan, u)
            case "inf":
                return torch.full_like(u, torch.inf)
            case "gradient":
                return u + 0 * torch.sqrt((x[..., 0] * 0).abs())
        return u * torch.nan


def trained(name, **changes):
    """Run the small experiment on an energy of this file; the message where it stops, and the steps that were taken."""
    args = [f"--model.energy=test_bad_numbers.{name}"]
    args += [f"--model.energy.init_args.{key}={value}" for key, value in changes.items()]
    return sentence("--data.steps_per_epoch=100", *args)


class TestNothingFinite:
    """A batch without one finite energy teaches nothing."""

    @pytest.mark.parametrize(("kind", "count"), [("all", "64 NaN, 0 +inf"), ("inf", "0 NaN, 64 +inf")])
    def test_stops_at_once(self, kind, count):
        said = trained("NaNs", kind=kind, after=1)  # the first call is the trial
        assert f"stopped at step 0: none of 64 proposals has a finite energy under NaNs ({count})" in said

    def test_stops_when_it_happens_later(self):
        assert "stopped at step 20: none of 64" in trained("NaNs", after=22)

    def test_a_gradient_that_is_never_finite_stops_after_ten_steps(self):
        assert "10 training steps in a row had a non-finite gradient" in trained("NaNs", kind="gradient")

    def test_some_are_dropped(self, capsys):
        fit.main(["-c", "small.yaml", "--model.energy=test_bad_numbers.NaNs", "--model.energy.init_args.kind=some"])
        assert "Verdict: do not trust" in capsys.readouterr().out

    def test_a_generator_that_has_diverged_is_blamed_and_not_the_energy(self):
        flow = CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell())
        with torch.no_grad():
            for p in flow.parameters():
                p.fill_(torch.nan)
        with pytest.raises(NothingFinite, match="none of 8 proposals has a finite configuration: CouplingFlow has diverged"):
            value_of(ReverseKL(), flow, DoubleWell(), 8)

    @pytest.mark.parametrize(
        "loss", [ReactionCoordinate("x1"), WeightedSum([ReactionCoordinate("x1"), ReverseKL()], [1.0, 1.0])]
    )
    @pytest.mark.parametrize("estimate", ["density", "histogram"])
    def test_a_coordinate_that_is_finite_nowhere(self, loss, estimate):
        flow = CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell())
        with torch.no_grad():
            for p in flow.parameters():
                p.fill_(torch.nan)
        loss = ReactionCoordinate("x1", estimate=estimate) if isinstance(loss, ReactionCoordinate) else loss
        with pytest.raises(NothingFinite, match="diverged"):
            value_of(loss, flow, DoubleWell(), 8)

    @pytest.mark.parametrize("lr", [1e5, 1e6])
    def test_a_loss_that_explodes_is_told(self, lr):
        """Reaction coordinate and energy, as the main job trains: a logarithm of no proposals was a "math domain error"."""
        config = yaml.safe_load(Path("small.yaml").read_text())
        terms = [{"class_path": "ReverseKL"}, {"class_path": "ReactionCoordinate", "init_args": {"observable": "x1"}}]
        config["model"]["loss"] = {"class_path": "WeightedSum", "init_args": {"losses": terms, "weights": [1.0, 1.0]}}
        Path("small.yaml").write_text(yaml.safe_dump(config))
        said = sentence(f"--model.optimizer.init_args.lr={lr}", "--data.steps_per_epoch=100", "--data.batch_size=256")
        assert "stopped at step" in said
        assert "lower the learning rate" in said

    def test_data_teach_where_no_proposal_has_an_energy(self):
        energy = NaNs()
        data = DoubleWell().exact_samples(20, torch.Generator().manual_seed(0))
        flow = CouplingFlow(blocks=1, hidden=(8,)).build(DoubleWell())
        both = WeightedSum([ForwardKL(), ReverseKL()], [1.0, 0.5])
        loss = value_of(both, flow, energy, 8, data)
        torch.testing.assert_close(loss, value_of(ForwardKL(), flow, energy, 8, data))
        assert both.parts()["ReverseKL"].isnan()
        assert both.parts()["ReverseKL_dropped"] == 8
        with pytest.raises(NothingFinite):  # a coordinate is no substitute
            value_of(WeightedSum([ReactionCoordinate("x1"), ReverseKL()], [1.0, 0.5]), flow, energy, 8)


class TestDrought:
    def test_batches_of_one_are_not_judged_by_one(self):
        drought = Drought()
        for n in range(1, 30):
            drought.note(1, 0)
            assert drought.hopeless == (n >= 20)

    def test_hard_walls_that_few_pass_are_bad_luck(self):
        drought = Drought()
        for finite in [1, *[0] * 5, 1, *[0] * 6] * 20:
            drought.note(64, finite)
            assert not drought.hopeless or drought.seen == 64  # after one batch little is known

    def test_what_was_always_finite_may_not_end(self):
        drought = Drought()
        drought.note(6400, 6400)
        drought.note(64, 0)
        assert drought.hopeless


class DummyGenerator:
    has_log_prob = True


class TestTemperature:
    @pytest.mark.parametrize("kT", [0.0, -1.0, float("nan"), float("inf"), 1e-40, 1e39])
    def test_what_is_no_temperature(self, kT):
        for make in (lambda: DoubleWell(kT=kT), lambda: DoubleWell().at(kT)):
            with pytest.raises(ValueError, match=r"kT must be (positive|a finite number)"):
                make()

    @pytest.mark.parametrize("kT", [1e-30, 1e30])
    def test_out_of_all_proportion(self, kT):
        assert "out of all proportion to DoubleWell" in refused(f"--model.energy.init_args.kT={kT}")

    @pytest.mark.parametrize("kT", [1e-5, 1e-3])
    def test_wells_too_narrow_for_their_exact_values(self, kT):
        """The exact P(left) was 2.7, and the verdict took the root of a negative number: "math domain error"."""
        assert "raise kT, its wells are too narrow" in refused(f"--model.energy.init_args.kT={kT}")

    def test_cold_but_exact(self):
        try_energy(DoubleWell(kT=0.01))
        assert DoubleWell(kT=0.01).p_left == pytest.approx(1.0)

    def test_units_of_another_kind_are_none_of_our_business(self):
        """Joules: kT is 4e-21, and so are energies."""

        class InJoules(DoubleWell):
            def potential(self, x):
                return 4e-21 * super().potential(x)

        try_energy(InJoules(kT=4e-21))


SETTINGS = {
    "lr nan": (["--model.optimizer.init_args.lr=nan"], "lr must be a finite number, got nan"),
    "lr inf": (["--model.optimizer.init_args.lr=.inf"], "lr must be a finite number, got inf"),
    "lr too large to write": (["--model.optimizer.init_args.lr=1e999"], "lr must be a finite number, got inf"),
    "lr negative": (["--model.optimizer.init_args.lr=-1"], "model.optimizer: Invalid learning rate: -1.0"),
    "lr zero": (["--model.optimizer.init_args.lr=0"], "the learning rate of Adam must be positive and finite, got lr=0"),
    "lr absurd": (["--model.optimizer.init_args.lr=1e30"], "with lr=1e+30 the first step of Adam takes a parameter of 1 to"),
    "momenta": (["--model.optimizer.init_args.betas=[2.0,0.9]"], "Invalid beta parameter at index 0: 2.0"),
    "no dense gradients": (["--model.optimizer=torch.optim.SparseAdam"], "SparseAdam cannot take a step"),
    "kT nan": (["--model.energy.init_args.kT=nan"], "kT must be a finite number, got nan"),
    "seed": (["--seed_everything=-1"], "seed_everything must be between 0 and 4294967295, got -1"),
    "dimensions": (["--model.energy.init_args.dim=1000000000000"], "dim = 1000000000000 does not fit into"),
    "blocks": (["--model.generator.init_args.blocks=1000000000000"], "blocks = 1000000000000 does not fit into"),
    "batch": (["--data.batch_size=1000000000000"], "data.batch_size = 1000000000000"),
    "test": (["--data.test_samples=1000000000000"], "data.test_samples = 1000000000000"),
    "validation": (["--data.val_samples=1000000000000"], "data.val_samples = 1000000000000"),
    "steps": (["--data.steps_per_epoch=1000000000000"], "more than a year before the first validation"),
    "accumulated": (["--trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches must be at least 1, got 0"),
    "validations": (["--trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch must be at least 1, got 0"),
    "clipping": (["--trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val must be at least 0, got -1"),
    "half precision": (["--trainer.precision=16-true"], "trainer.precision = 16-true keeps energies in half precision"),
    "average": (["--trainer.callbacks=[{class_path: EMA, init_args: {decay: 7}}]"], "decay must be at least 0 and below 1"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_an_absurd_setting_is_refused_by_name(name):
    args, expected = SETTINGS[name]
    assert expected in refused(*args)


SCHEDULES = {
    "CosineAnnealingLR": ({"T_max": 0}, "T_max of CosineAnnealingLR counts training steps and must be at least 1, got 0"),
    "CosineAnnealingLR ": ({"T_max": -5}, "must be at least 1, got -5"),
    "StepLR": ({"step_size": 0}, "step_size of StepLR counts training steps"),
    "ExponentialLR": ({"gamma": -1}, "ExponentialLR sets the learning rate of step 1 to -0.005"),
    "ExponentialLR ": ({"gamma": 30}, "ExponentialLR sets the learning rate of step"),
    "OneCycleLR": ({"max_lr": 0.1, "total_steps": 4}, "OneCycleLR ends after total_steps=4 and training takes 6"),
    "ReduceLROnPlateau": ({"patience": 3}, "ReduceLROnPlateau waits for a metric"),
    "CosineAnnealingWarmRestarts": ({"T_0": 0}, "Expected positive integer T_0, but got 0"),
    "ConstantLR": ({"factor": 0.0, "total_iters": 2}, "ConstantLR breaks at step 1 (ZeroDivisionError"),
    "LinearLR": ({"start_factor": 0.0}, "Starting multiplicative factor expected to be"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_absurd_schedule_is_refused_by_name(name):
    settings, expected = SCHEDULES[name]
    args = [f"--model.lr_scheduler.init_args.{key}={value}" for key, value in settings.items()]
    said = refused(f"--model.lr_scheduler=torch.optim.lr_scheduler.{name.strip()}", *args)
    assert expected in said
    assert "model.lr_scheduler" in said


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("CosineAnnealingLR", {"T_max": 1}),
        ("CosineAnnealingLR", {"T_max": 1_000_000}),
        ("StepLR", {"step_size": 1, "gamma": 0.5}),
        ("OneCycleLR", {"max_lr": 0.1, "total_steps": 6}),
        ("ConstantLR", {"factor": 0.5, "total_iters": 2}),
        ("LinearLR", {"total_iters": 3}),
    ],
)
def test_a_schedule_that_may_be_meant_is_taken(name, settings):
    def schedule(optimizer):
        return getattr(torch.optim.lr_scheduler, name)(optimizer, **settings)

    parameters = list(torch.nn.Linear(3, 2).parameters())
    before = [p.clone() for p in parameters]
    try_optimizer(lambda p: torch.optim.Adam(p, lr=1e-3), schedule, parameters, steps=6)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "LBFGS", "Adadelta", "Rprop", "NAdam"])
def test_optimizers_of_torch_are_taken(name):
    try_optimizer(getattr(torch.optim, name), None, torch.nn.Linear(3, 2).parameters())


@pytest.mark.parametrize(
    "card", ["{}", "{a", "[1]", "3", "[" * 20_000, '{"energy": 3, "kT": 1.0}', '{"energy": {"class": "DoubleWell"}, "kT": 1.0}']
)
def test_a_card_that_is_none_is_told(card):
    np.savez("data.npz", x=np.zeros((40, 2), np.float32), card=np.array(card))
    assert "data.npz is no whole data file of lit_bg.simulate" in refused("--data.path=data.npz")


def test_one_callback_needs_no_list(capsys):
    fit.main(["-c", "small.yaml", "--trainer.callbacks={class_path: NonFiniteGuard, init_args: {limit: 3}}"])
    assert "Verdict" in capsys.readouterr().out


class Logs(Callback):
    """A callback of somebody who knows nothing of batch sizes."""

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        module.log("train/mine", 1.0, on_epoch=True)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        module.log("val/size", float(len(outputs.proposals.x)))
        module.log_dict({"val/whole": 3, "val/tensor": outputs.proposals.log_w.double().max()})

    def on_validation_epoch_end(self, trainer, module):
        module.log("val/end", 1.0)

    def on_test_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        module.log("test/size", float(len(outputs.proposals.x)))


@pytest.mark.filterwarnings("error::DeprecationWarning:lightning")
def test_a_callback_logs_without_a_batch_size():
    """Averages weigh the batches by their proposals: 200 are 67, 67 and 66."""
    fit.main(["-c", "small.yaml", "--trainer.callbacks=[{class_path: test_bad_numbers.Logs}]", "--data.eval_batch_size=67"])
    with open("runs/small/version_0/metrics.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    logged = {name: float(value) for row in rows for name, value in row.items() if value}
    assert logged["val/size"] == 50  # two batches of 50
    assert logged["test/size"] == pytest.approx((67 * 67 + 67 * 67 + 66 * 66) / 200)
    assert logged["val/whole"] == 3
    assert {"val/tensor", "val/end", "train/mine_epoch"} <= logged.keys()
