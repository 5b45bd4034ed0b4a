"""Numbers that cannot be meant, and numbers that training breaks on, end in a sentence with the way out."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import torch
import yaml

from lit_bg import fit
from lit_bg.energies import DoubleWell, Energy
from lit_bg.energies.trial import try_energy
from lit_bg.losses import ReverseKL

SMALL = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False},
    "model": {
        "energy": {"class_path": "DoubleWell"},
        "generator": {"class_path": "CouplingFlow", "init_args": {"blocks": 2, "hidden": [16]}},
        "loss": {"class_path": "ReverseKL"},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005}},
    },
    "data": {"batch_size": 64, "steps_per_epoch": 3, "val_samples": 100, "test_samples": 200},
}


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
    event_shape = (2,)


class NoConstructor(Energy):
    event_shape = (2,)

    def __init__(self):
        pass

    def potential(self, x):
        return x.square().sum(-1)


class Returns(Energy):
    """An energy of the right value in the wrong form."""

    event_shape = (2,)

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
            case "negative shape":
                return u
        return u


FORMS = {
    "column": r"Returns.potential returned the shape \(3, 1\) for 3 configurations and must return \(3,\): drop the last axis",
    "one number": r"Returns.potential returned the shape \(\) for 3",
    "integers": "Returns.potential returned torch.int64 and must return float32 or float64",
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
        with pytest.raises(TypeError, match="Returns.potential returned"):
            Returns(form)(torch.zeros(3, 2))

    def test_double_precision_is_welcome_and_nothing_is_counted(self):
        energy = Returns("double")
        try_energy(energy)
        assert energy.n_values == 0

    def test_a_gradient_that_is_lost_is_missed_where_it_is_needed(self):
        energy = Returns("no gradient")
        try_energy(energy)
        with pytest.raises(ValueError, match=r"Returns.potential loses it .*ReweightedKL"):
            ReverseKL().check(DummyGenerator(), energy)
        ReverseKL().check(DummyGenerator(), Returns("double"))

    @pytest.mark.parametrize(
        ("cls", "said"),
        [
            ("NoShape", "NoShape has no event_shape: define it in the class, such as"),
            ("NoPotential", "NoPotential does not define potential"),
            ("NoConstructor", "NoConstructor does not call the constructor of Energy"),
            ("Returns", "Returns.potential returned the shape"),
        ],
    )
    def test_on_the_command_line(self, cls, said):
        assert said in refused(f"--model.energy=test_bad_numbers.{cls}")

    @pytest.mark.parametrize("shape", [2, [2], (), (0,), (2.0,), "2"])
    def test_an_event_shape_that_is_none(self, shape):
        energy = Returns("double")
        energy.event_shape = shape
        with pytest.raises(TypeError, match="event_shape of Returns must be a tuple of positive integers"):
            try_energy(energy)


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

    def test_units_of_another_kind_are_none_of_our_business(self):
        """Joules: kT is 4e-21, and so are energies."""

        class InJoules(DoubleWell):
            def potential(self, x):
                return 4e-21 * super().potential(x)

        try_energy(InJoules(kT=4e-21))
