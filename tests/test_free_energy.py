"""python -m lit_bg.free_energy on runs: exact answers, other programs' answers, and what it says where there is none."""

import copy
import json
import logging
import math
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from blank_picture import BLANK
from small_experiment import SMALL

import lit_bg
from lit_bg import fit, free_energy
from lit_bg.commands import free_energy_of_runs
from lit_bg.config.cli import build
from lit_bg.data.dataset import Dataset
from lit_bg.data.module import Data
from lit_bg.energies import DoubleWell, Energy, Gaussian
from lit_bg.free_energy import RESULTS
from lit_bg.generators import Generator
from lit_bg.report.free_energy_numbers import FreeEnergies
from lit_bg.rng import stream
from lit_bg.runs.held_out import read_held_out
from lit_bg.runs.load import Run
from lit_bg.simulators.base import Trajectory

ALANINE = {
    "topology": str(Path(__file__).parent.parent / "experiments/alanine_dipeptide.pdb"),
    "forcefield": ["amber99sbildn.xml", "amber99_obc.xml"],
}
FLOW = {"class_path": "CouplingFlow", "init_args": {"blocks": 1, "hidden": [4]}}
PATHS = {
    "class_path": "ReverseDiffusion",
    "init_args": {
        "network": {"class_path": "MLPField", "init_args": {"hidden": [8]}},
        "schedule": {"class_path": "VariancePreserving"},
        "steps": 5,
    },
}
NARROW, WIDE = {"scale": 0.9}, {"loc": [0.3, -0.2], "scale": [1.2, 0.8]}
MADE = {
    "narrow": ({"class_path": "Gaussian", "init_args": NARROW}, FLOW),
    "wide": ({"class_path": "Gaussian", "init_args": WIDE}, FLOW),
    "three": ({"class_path": "Gaussian", "init_args": {"dim": 3}}, FLOW),
    "far": ({"class_path": "Gaussian", "init_args": {"loc": 7.0}}, FLOW),
    "molecule": (
        {"class_path": "Molecule", "init_args": ALANINE},
        {
            "class_path": "CouplingFlow",
            "init_args": {"blocks": 1, "hidden": [4], "coordinates": {"class_path": "InternalCoordinates"}},
        },
    ),
    "pendulum": ({"class_path": "pendulum.Pendulum"}, FLOW),
    "tempered": (
        {
            "class_path": "Tempered",
            "init_args": {"energy": {"class_path": "Gaussian", "init_args": NARROW}, "lowest": 0.8, "highest": 1.2},
        },
        FLOW,
    ),
    "paths": ({"class_path": "Gaussian"}, PATHS),
}


def make_data(path, energy, frames=150, walkers=20):
    """Independent frames of walkers."""
    x = energy.exact_samples(frames * walkers, stream(0, "test")).reshape(frames, walkers, *energy.space.shape)
    Dataset.from_trajectory(energy, Trajectory(x), None, 0).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A double well trained on data, and runs whose generators have learned nothing."""
    folder = tmp_path_factory.mktemp("made")
    make_data(folder / "wells.npz", DoubleWell())
    make_data(folder / "other.npz", DoubleWell(a1=0.7))
    make_data(folder / "wide.npz", Gaussian(**WIDE))
    config = copy.deepcopy(SMALL)
    config["trainer"] |= {"max_epochs": 3}
    config["model"] |= {"loss": {"class_path": "ForwardKL"}}
    config["data"] |= {"path": str(folder / "wells.npz"), "steps_per_epoch": 60, "batch_size": 256}
    (folder / "wells.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("LIT_BG_VERSION", raising=False)
        patch.setattr("lit_bg.figures.style.png", lambda figure: BLANK)
        fit.main(["-c", "wells.yaml", f"--runs={folder / 'runs'}"])
    for name, (energy, generator) in MADE.items():
        run = folder / "runs" / name / "version_0"
        (run / "checkpoints").mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump({"model": {"energy": energy, "generator": generator}}))
        torch.manual_seed(0)
        built = build(Generator, generator).build(build(Energy, energy))
        state = {f"generator.{key}": value for key, value in built.state_dict().items()}
        torch.save({"state_dict": state, "global_step": 0}, run / "checkpoints" / "best.ckpt")
    return folder


@pytest.fixture
def inside(made, tmp_path, monkeypatch, empty_figures):
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(made / "runs")
    return made


def complaint(capsys, *args):
    """What is said by a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        free_energy.main([str(a) for a in args])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0].removeprefix("lit_bg: ")


def found(out="out"):
    """What was written, which its typed value has to hold, all of it."""
    text = Path(out, "free_energy.json").read_text()
    assert FreeEnergies.from_json(text).to_json() == text
    return json.loads(text)


def run(*args, out="out"):
    free_energy.main([*map(str, args), "--out", out, "-n", "4000"])
    return found(out)


def test_without_arguments_it_prints_its_help(capsys):
    free_energy.main([])
    printed = capsys.readouterr().out
    for word in ("usage: python -m lit_bg.free_energy", "--openmm", "--units", "DeepBAR", "LBAR"):
        assert word in printed


class TestOneRun:
    @pytest.fixture(scope="class")
    def result(self, made):
        out = made / "result"
        free_energy.main([str(made / "runs/wells"), "--out", str(out), "-n", "4000"])
        return out

    def test_the_difference_is_exact_within_its_errors(self, result):
        row = found(result)["runs"]["wells/version_0"]
        exact = -DoubleWell().log_Z
        for name in ("LFEP", "BAR"):
            e = row[name]["kT"]
            assert abs(e["value"] - exact) < 4 * e["error"]
            assert e["error"] == max(e["analytic"], e["bootstrap"], e["parts"]["error"])
            assert 0.3 < e["bootstrap"] / e["analytic"] < 3  # two ways to one number
        assert row["exact [kT]"] == exact
        assert row["estimator"] == "BAR"
        assert row["frames_from"] == "wells.npz, held out"
        assert row["bounds [kT]"]["lower"] < exact < (row["bounds [kT]"]["upper"] or math.inf)
        assert 0.3 < row["overlap"] <= 0.5
        truth = DoubleWell().modes.exact
        right = row["modes [kT]"]["right"]
        assert abs(right["free_energy"] + math.log(truth[1] / truth[0])) < 4 * right["error"]

    def test_all_files_are_there(self, result):
        assert sorted(p.name for p in result.iterdir()) == sorted(RESULTS)
        assert all(p.read_bytes()[:4] == b"\x89PNG" for p in result.glob("*.png"))

    def test_alchemlyb_reads_the_parquet_and_finds_the_same(self, result):
        logging.disable(logging.WARNING)
        parquet = pytest.importorskip("alchemlyb.parsing.parquet")
        from alchemlyb.estimators import BAR, MBAR

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            u_nk = parquet.extract_u_nk(str(result / "u_nk.parquet"), T=300)
            values = [estimator().fit(u_nk).delta_f_.to_numpy()[0, 1] for estimator in (BAR, MBAR)]
        logging.disable(logging.NOTSET)
        ours = found(result)
        mine = ours["runs"]["wells/version_0"]["BAR"]["kT"]["value"]
        assert values == pytest.approx([mine, mine], abs=1e-6)  # of alchemlyb's own tolerance
        assert ours["MBAR"]["states"][1]["kT"]["value"] == pytest.approx(mine, abs=1e-8)
        assert u_nk.attrs["energy_unit"] == "kT"

    def test_pymbar_reads_the_arrays_and_finds_the_same(self, result):
        logging.disable(logging.WARNING)
        pymbar = pytest.importorskip("pymbar")
        with np.load(result / "u_kn.npz") as file:
            u, counts = file["u_kn"], file["N_k"]
            assert file["states"].tolist() == ["generator of wells/version_0", "wells/version_0"]
        f = pymbar.MBAR(u, counts, solver_protocol="robust").f_k
        w = u[1] - u[0]
        theirs = pymbar.other_estimators.bar(w[: counts[0]], -w[counts[0] :])
        logging.disable(logging.NOTSET)
        e = found(result)["runs"]["wells/version_0"]["BAR"]["kT"]
        assert f[1] - f[0] == pytest.approx(e["value"], abs=1e-8)
        assert theirs["Delta_f"] == pytest.approx(e["value"], abs=1e-8)
        assert theirs["dDelta_f"] == pytest.approx(e["analytic"], abs=1e-8)

    def test_frames_are_those_that_training_held_out(self, made):
        trained = lit_bg.load(made / "runs/wells")
        data = Data(path=str(made / "wells.npz"))
        data.prepare(DoubleWell())
        held = read_held_out(trained, 10_000)
        mine, theirs, train = (set(map(tuple, x.reshape(-1, 2).tolist())) for x in (held.x, data.held.x, data.train.x))
        assert mine == theirs
        assert not mine & train
        assert held.x.shape == (150, 2, 2)
        few = read_held_out(trained, 50)
        assert torch.equal(few.x, held.x[::6])


class TestSeveralRuns:
    def test_two_generators_of_two_targets(self, inside):
        numbers = run("runs/narrow", "runs/wide")
        exact = Gaussian(**NARROW).log_Z - Gaussian(**WIDE).log_Z
        e = numbers["differences"]["F(wide/version_0) - F(narrow/version_0)"]["kT"]
        assert abs(e["value"] - exact) < 4 * e["error"]
        assert e["error"] < 0.05
        states = {row["state"]: row for row in numbers["MBAR"]["states"]}
        by_mbar = states["wide/version_0"]["kT"]["value"] - states["narrow/version_0"]["kT"]["value"]
        assert abs(by_mbar - exact) < 4 * e["error"]
        other = states["generator of wide/version_0"]["kT"]
        assert abs(other["value"]) < 4 * max(other["analytic"], other["bootstrap"])  # it is normalised, too
        assert other["analytic"] > 0
        assert numbers["verdict"] == "trust"

    def test_unequal_dimensions_have_a_difference_too(self, inside, capsys):
        numbers = run("runs/narrow", "runs/three")
        exact = Gaussian(**NARROW).log_Z - Gaussian(dim=3).log_Z
        e = numbers["differences"]["F(three/version_0) - F(narrow/version_0)"]["kT"]
        assert abs(e["value"] - exact) < 4 * e["error"]
        said = capsys.readouterr().out
        assert "3 and 2 dimensions: the value depends on the unit of length." in said
        assert "MBAR is left out: the runs have configurations of different spaces (shapes (2,), (3,))." in said
        assert not Path("out/u_nk.parquet").exists()

    def test_what_was_found_before_a_failure_is_kept(self, inside, monkeypatch, capsys):
        real, calls = free_energy_of_runs.estimate_absolute, []

        def fails(*args):
            calls.append(args)
            if len(calls) == 2:
                raise ValueError("something is wrong.")
            return real(*args)

        monkeypatch.setattr(free_energy_of_runs, "estimate_absolute", fails)
        said = complaint(capsys, "runs/narrow", "runs/wide", "--out", "out", "-n", 500)
        assert said == "something is wrong; what was found before is in 'out/free_energy.json'."
        assert list(found()["runs"]) == ["narrow/version_0"]

    def test_no_generator_and_no_energy_is_asked_twice(self, inside, monkeypatch):
        """The density of own proposals comes with them, that of own frames is asked for once."""
        asked, drawn = Counter(), Counter()
        log_prob, stream_of = Run.log_prob, Run.stream

        def counted(self, x, context=None):
            asked[self.folder.parent.name] += len(x)
            return log_prob(self, x, context)

        def streamed(self, *args):
            for part in stream_of(self, *args):
                drawn[self.folder.parent.name] += len(part.x)
                yield part

        monkeypatch.setattr(Run, "log_prob", counted)
        monkeypatch.setattr(Run, "stream", streamed)
        rows = run("runs/narrow", "runs/wide")["runs"]
        frames = {name.split("/")[0]: row["frames"] for name, row in rows.items()}
        kept = {name.split("/")[0]: row["independent_frames"] for name, row in rows.items()}
        assert drawn == {"narrow": 4000, "wide": 4000}
        assert asked == {
            "narrow": frames["narrow"] + 4000 + kept["wide"],
            "wide": frames["wide"] + 4000 + kept["narrow"],
        }
        for name, row in rows.items():
            assert row["cost"]["densities"] == 4000 + frames[name.split("/")[0]]
            assert row["cost"]["energies"] == 4000


class TestWhatIsSaid:
    def test_without_frames_there_is_only_lfep(self, inside, capsys):
        numbers = run("runs/pendulum")
        row = numbers["runs"]["pendulum/version_0"]
        assert row["estimator"] == "LFEP"
        assert row["BAR"] is None
        assert numbers["verdict"] == "unchecked"
        said = capsys.readouterr().out
        assert "Only LFEP is available" in said
        assert "trained without reference data" in said
        g = torch.linspace(-14, 14, 1401, dtype=torch.float64)
        u = build(Energy, {"class_path": "pendulum.Pendulum"})(torch.cartesian_prod(g, g))
        exact = -(torch.logsumexp(-u, 0).item() + 2 * math.log(28 / 1400))
        e = row["LFEP"]["kT"]
        assert abs(row["F"]["kT"]["value"] - exact) < 4 * e["error"]

    def test_frames_from_elsewhere_allow_bar(self, inside):
        """All of the file counts: a run that was trained from the energy alone has seen none of it."""
        row = run("runs/wide", "--data", inside / "wide.npz")["runs"]["wide/version_0"]
        assert row["frames_from"] == "wide.npz"
        assert row["frames"] == 3000
        e = row["BAR"]["kT"]
        assert abs(e["value"] + Gaussian(**WIDE).log_Z) < 4 * e["error"]

    def test_conditions_are_the_usual_ones(self, inside):
        e = run("runs/tempered")["runs"]["tempered/version_0"]["BAR"]["kT"]
        assert abs(e["value"] + Gaussian(**NARROW).log_Z) < 4 * e["error"]

    def test_a_generator_without_log_prob(self, inside, capsys):
        row = run("runs/paths")["runs"]["paths/version_0"]
        assert row["estimator"] == "LFEP"
        assert "ReverseDiffusion has no tractable log_prob, which BAR needs at the frames" in capsys.readouterr().out
        run("runs/narrow", "runs/paths", out="both")
        assert "MBAR is left out: ReverseDiffusion has no tractable log_prob" in capsys.readouterr().out
        assert found("both")["MBAR"].startswith("MBAR is left out")
        assert "F(paths/version_0) - F(narrow/version_0)" in found("both")["differences"]

    def test_too_little_overlap(self, inside, capsys):
        numbers = run("runs/far")
        row = numbers["runs"]["far/version_0"]
        assert row["overlap"] < 0.03
        assert row["verdict"] == "do not trust"
        assert numbers["verdict"] == "do not trust"
        said = capsys.readouterr().out
        assert "Too little overlap between the generator and its target" in said
        assert "not to be trusted" in said
        assert "Verdict: do not trust" in said


class TestWhatIsRefused:
    @pytest.fixture(autouse=True)
    def _nothing_is_drawn(self, monkeypatch):
        def drawn(*_):
            raise AssertionError("drew proposals")

        monkeypatch.setattr(lit_bg.runs.load.Run, "sample", drawn)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["runs/narrow", "-n", 1], "-n must be at least 16, two proposals for each of 8 repeats, got 1"),
            (["runs/narrow", "--repeats", 1], "--repeats must be at least 2, got 1: one part has no spread."),
            (["runs/narrow", "runs/narrow/version_0/"], "a run is given twice"),
            (["runs/none"], "'runs/none' is no run folder"),
            (["runs/narrow", "--checkpoint", "bset"], "no checkpoint 'bset'"),
            (["runs/narrow", "--units", "kcal"], "--units must be one of kT, kJ/mol, kcal/mol, got kcal."),
            (["runs/narrow", "--units", "kJ/mol"], "there is no free energy in kJ/mol without one temperature in kelvin"),
            (["runs/narrow", "--temperatures", 300], "--temperatures belong to --openmm"),
            (["runs/narrow", "--openmm", "x", "--temperatures", 300], "give either run folders or --openmm FOLDER."),
            (["runs/narrow", "--data", "a", "b"], "--data needs one file per run, got 2 for 1."),
            (
                ["runs/narrow", "--data", "nowhere.npz"],
                "there is no data file 'nowhere.npz' of the run 'runs/narrow/version_0'",
            ),
            (["runs/narrow", "--seed", -1], "--seed must be at least 0, got -1."),
            (["runs/narrow", "--device", "gpu"], "--device gpu cannot be used here ("),
            (["--seed", 1], "give either run folders or --openmm FOLDER."),
        ],
    )
    def test_an_argument(self, inside, arguments, words, capsys):
        said = complaint(capsys, *arguments, "--out", "out")
        assert said.startswith(words)
        assert not Path("out").exists()

    def test_data_of_another_system(self, inside, capsys):
        said = complaint(
            capsys, "runs/narrow", "runs/wells", "--data", inside / "wide.npz", inside / "other.npz", "--out", "out"
        )
        assert "wide.npz are for loc = [0.3, -0.2], not 0.0" in said
        said = complaint(capsys, "runs/wells", "--data", inside / "other.npz", "--out", "out")
        assert "other.npz are for a1 = 0.7, not 1" in said
        assert not Path("out").exists()

    def test_results_that_are_there(self, inside, capsys):
        Path("out").mkdir()
        Path("out/u_kn.npz").write_text("precious")
        said = complaint(capsys, "runs/narrow", "--out", "out")
        assert said == "'out/u_kn.npz' exists: give another --out, or overwrite it with --force."
        assert Path("out/u_kn.npz").read_text() == "precious"


def test_a_molecule_has_every_unit(inside, capsys):
    """Kilojoules and kilocalories are kT times what they are at 300 K, and the parquet knows the temperature."""
    pandas = pytest.importorskip("pandas")
    free_energy.main(["runs/molecule", "--out", "out", "-n", "64", "--units", "kcal/mol"])
    e = found()["runs"]["molecule/version_0"]["LFEP"]
    assert e["kJ/mol"]["value"] / e["kT"]["value"] == pytest.approx(2.49434, rel=1e-5)
    assert e["kcal/mol"]["value"] / e["kT"]["value"] == pytest.approx(1 / 1.6774, rel=1e-4)
    assert "F [kcal/mol]" in capsys.readouterr().out
    assert pandas.read_parquet("out/u_nk.parquet").attrs["temperature"] == 300.0
