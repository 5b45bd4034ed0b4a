"""python -m lit_bg.profile: what it refuses before it begins, what it finds, and that it writes all or nothing."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from blank_picture import BLANK
from made_runs import make_run

import lit_bg
from lit_bg import profile, sample
from lit_bg.data.given_samples import load_samples
from lit_bg.energies import DoubleWell, Tempered
from lit_bg.report.assess import assess_samples
from lit_bg.samples import Chains, Populations, Samples

ROOT = Path(__file__).parent.parent
ALANINE = {
    "topology": str(ROOT / "experiments/alanine_dipeptide.pdb"),
    "forcefield": ["amber99sbildn.xml", "amber99_obc.xml"],
}
HOT = {"class_path": "DoubleWell", "init_args": {"kT": 8.0}}
FLOW = {"class_path": "CouplingFlow", "init_args": {"blocks": 1, "hidden": [4]}}
SYSTEMS = {
    "hot": (HOT, FLOW),
    "alanine": (
        {"class_path": "Molecule", "init_args": ALANINE},
        {
            "class_path": "CouplingFlow",
            "init_args": {**FLOW["init_args"], "coordinates": {"class_path": "InternalCoordinates"}},
        },
    ),
    "tempered": ({"class_path": "Tempered", "init_args": {"energy": HOT, "lowest": 4.0, "highest": 16.0}}, FLOW),
    "reverse": (HOT, {"class_path": "ReverseDiffusion", "init_args": {"network": {"class_path": "MLPField"}}}),
}


def exact_samples(system):
    return DoubleWell(kT=8.0).exact_samples(2000, torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs whose generators have learned nothing (at kT = 8 that is enough): what `load` needs of a run folder, and no more."""
    runs = tmp_path_factory.mktemp("made") / "runs"
    for name, (energy, generator) in SYSTEMS.items():
        make_run(runs / name / "version_0", energy, generator, exact_samples if name in ("hot", "tempered") else None)
    return runs


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(made)


HOT_RUN, MOLECULE = "runs/hot/version_0", "runs/alanine/version_0"


def save(kind, path, n=4000):
    """Exact samples of the double well at kT = 8 in a file of every kind."""
    energy = DoubleWell(kT=8.0)
    x = energy.exact_samples(n, torch.Generator().manual_seed(0))
    u = energy(x)
    if kind == "draws":
        arrays = {"x": x, "u": u, "log_q": -u - energy.log_Z}
    elif kind == "chains":
        arrays = {"x": x.reshape(-1, 20, 2)}
    else:
        arrays = {"x": x.reshape(20, -1, 2), "u": u.reshape(20, -1), "log_w": torch.zeros(20, n // 20)}
        arrays["ancestor"] = torch.arange(n // 20).expand(20, -1)
    np.savez(path, **{name: a.numpy() for name, a in arrays.items()})


def complaint(capsys, *args):
    """What is said by a command that ends with exit code 2, and writes nothing."""
    with pytest.raises(SystemExit) as stop:
        profile.main([str(a) for a in args])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert not Path("o").exists() or not list(Path("o").iterdir())
    return lines[0]


def test_without_arguments_it_prints_its_help(capsys):
    profile.main([])
    printed = capsys.readouterr().out
    for word in ("usage: python -m lit_bg.profile", "--along", "--temperatures", "--between", "--force"):
        assert word in printed


class TestWhatItFinds:
    def test_everything_at_once(self, runs, capsys, empty_figures):
        args = ["-n", "20000", "--along", "x1", "--temperatures", "6", "8", "10", "--between", "left", "right"]
        profile.main([HOT_RUN, *args, "--out", "new/o"])
        names = [f"{part}{suffix}" for part in ("path", "profile", "temperatures") for suffix in (".npz", ".png")]
        assert sorted(p.name for p in Path("new/o").iterdir()) == names
        with np.load("new/o/profile.npz") as file:
            assert sorted(file) == ["F", "F_err", "F_exact", "edges_x1"]
            barred = np.isfinite(file["F_err"])
            well = DoubleWell(kT=8.0)._marginal
            edges = file["edges_x1"]
            truth = [-np.log(well.probability(a, b) / (b - a)) for a, b in itertools.pairwise(edges)]
            assert np.abs(file["F_exact"] - truth).max() < 1e-9
            z = ((file["F"] - truth) / file["F_err"])[barred]
            assert barred.sum() > 40
            assert np.abs(z).max() < 5
        with np.load("new/o/temperatures.npz") as file:
            exact = [DoubleWell(kT=kT).log_Z for kT in (6.0, 8.0, 10.0)]
            assert np.abs((file["log_Z"] - exact) / file["log_Z_err"]).max() < 4
            assert list(file["modes"]) == ["left", "right"]
            assert file["P"].shape == (3, 2)
            assert file["trusted"].all()
            assert file["interval"][0] < 8 < file["interval"][1]
        with np.load("new/o/path.npz") as file:
            assert file["latent_line/x"].shape == (201, 2)
            assert file["latent_line/u"].max() > file["latent_line/u"][0] + 1
            assert {"latent_arc/u", "straight_in_x/log_q", "latent_line/x1"} <= set(file)
        printed = capsys.readouterr().out
        for words in ("20000 weighted draws", "F(x1): lowest at x1 = ", "reweighting is trusted from kT = ", "barrier [kT]"):
            assert words in printed
        assert "as good as the samples" in printed
        assert "written to new/o" in printed

    def test_a_surface_of_a_molecule(self, runs, capsys):
        """Untrained, it has no effective samples, and says so."""
        profile.main([MOLECULE, "-n", "40", "--along", "phi", "psi", "--out", "o", "--bins", "6", "--temperatures", "310"])
        with np.load("o/profile.npz") as file:
            assert file["F"].shape == (6, 6)
            assert not np.isfinite(file["F_err"]).any()
        printed = capsys.readouterr().out
        assert "do not trust: " in printed
        assert "no bin has five effective samples" in printed
        assert "reweighting is trusted at no temperature" in printed
        assert Path("o/profile.png").stat().st_size > 1000
        with np.load("o/temperatures.npz") as file:
            assert file["kT"] == pytest.approx(310 * 0.00831446, rel=1e-4)

    def test_an_observable_without_a_range_is_shown_where_the_weight_is(self, runs, empty_figures):
        profile.main([MOLECULE, "-n", "40", "--along", "Rg", "--out", "o"])
        with np.load("o/profile.npz") as file:
            assert 0 < file["edges_Rg"][0] < file["edges_Rg"][-1] < 5

    @pytest.mark.parametrize("kind", ["draws", "chains", "populations"])
    def test_samples_of_any_kind(self, runs, kind, capsys, empty_figures):
        save(kind, "s.npz")
        profile.main([HOT_RUN, "--samples", "s.npz", "--along", "x1", "--temperatures", "7", "--bins", "10", "--out", "o"])
        printed = capsys.readouterr().out
        assert {"draws": "4000 weighted draws", "chains": "20 chains of 200", "populations": "20 populations of 200"}[
            kind
        ] in printed
        with np.load("o/profile.npz") as file:
            assert np.isfinite(file["F_err"]).sum() >= 8
        with np.load("o/temperatures.npz") as file:
            exact = DoubleWell(kT=7.0).log_Z - (0 if kind == "draws" else DoubleWell(kT=8.0).log_Z)
            assert abs(file["log_Z"][0] - exact) < 4 * file["log_Z_err"][0]
            assert bool(file["log_Z_is_relative"]) == (kind == "chains")

    def test_what_sample_has_written(self, runs, empty_figures):
        sample.main([HOT_RUN, "-n", "500", "--out", "s.npz", "--seed", "3"])
        profile.main([HOT_RUN, "--samples", "s.npz", "--along", "x1", "--out", "a"])
        profile.main([HOT_RUN, "-n", "500", "--seed", "3", "--along", "x1", "--out", "b"])
        with np.load("a/profile.npz") as first, np.load("b/profile.npz") as second:
            np.testing.assert_allclose(first["F"], second["F"], rtol=1e-5)  # weights of float32 and of float64

    def test_paths_between_samples_by_their_index(self, runs, capsys, empty_figures):
        profile.main([MOLECULE, "-n", "5", "--between", "0", "3", "--out", "o"])
        x = lit_bg.load(MOLECULE).sample(5).x
        with np.load("o/path.npz") as file:
            assert file["latent_line/phi"].shape == (201,)
            length = lambda y: np.linalg.norm(y[0] - y[-1])  # noqa: E731
            assert length(file["latent_line/x"][0]) == pytest.approx(length(x[0].numpy()), rel=1e-3)
        assert "from 0 to 3, u(0) = " in capsys.readouterr().out

    def test_a_system_with_conditions_at_its_usual_ones(self, runs, capsys, empty_figures):
        profile.main(
            ["runs/tempered", "-n", "2000", "--along", "x1", "--temperatures", "7", "--between", "left", "right", "--out", "o"]
        )
        assert "from samples at kT = 8: " in capsys.readouterr().out

    def test_what_was_said_of_the_run(self, runs, made, capsys, empty_figures):
        file = made / "hot" / "version_0" / "summary.json"
        energy = DoubleWell(kT=8.0)
        x = exact_samples(energy)
        found = assess_samples(energy, Samples(x, torch.zeros(len(x)), energy(x)), problems=["it has lost a mode"])
        found.summary.write(file)
        try:
            profile.main([HOT_RUN, "-n", "100", "--along", "x1", "--out", "o"])
        finally:
            file.unlink()
        assert "the run was judged when it was tested: do not trust: it has lost a mode." in capsys.readouterr().out

    def test_as_a_program(self, runs):
        command = [sys.executable, "-m", "lit_bg.profile", HOT_RUN, "-n", "200", "--along", "x1", "--out", "o"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "F(x1): lowest" in done.stdout


class TestWhatItRefuses:
    @pytest.mark.parametrize(
        ("args", "sentence"),
        [
            (["--along", "phi"], "DoubleWell has no observable 'phi', but x1, P(x1<0)"),
            (["--along", "P(x1<0)"], "P(x1<0) takes the values 0 and 1 alone: it is a probability and has no profile"),
            (["--along", "x1", "x1"], "--along names x1 twice"),
            (["--along", "a", "b", "c"], "--along takes one observable or two, got 3 (a, b, c)"),
            (["--along", "x1", "-n", "1"], "-n 1 is a single sample, which has no error bar and no profile"),
            (["--along", "x1", "-n", "0"], "-n must be at least 2, got 0"),
            (["--along", "x1", "--bins", "1"], "--bins must be at least 2, got 1"),
            (["--along", "x1", "--seed", "-1"], "--seed must be at least 0, got -1"),
            (["--temperatures", "0"], "--temperatures must be positive, got 0"),
            (["--temperatures", "nan"], "--temperatures must be positive, got nan"),
            (["--between", "left", "middle"], "DoubleWell has no mode 'middle' (its modes: left, right)"),
            (["--between", "left", "5000"], "there is no sample 5000: the 100 samples are counted from 0 to 99"),
            (["--along", "x1", "--samples", "none.npz"], "there is no file 'none.npz'"),
            (["--along", "x1", "--device", "abacus"], "--device abacus cannot be used here"),
            (["--along", "x1", "--checkpoint", "first"], "no checkpoint 'first'"),
            ([], "nothing is asked for: give --along, --temperatures or --between"),
        ],
    )
    def test_in_one_sentence(self, runs, args, sentence, capsys):
        n = [] if {"-n", "--samples"} & set(args) else ["-n", "100"]
        said = complaint(capsys, HOT_RUN, *args, *n, "--out", "o")
        assert said.startswith("lit_bg: ")
        assert sentence in said

    def test_a_run_that_is_not_there(self, runs, capsys):
        assert "'runs/nowhere' is no run folder" in complaint(capsys, "runs/nowhere", "--along", "x1", "--out", "o")

    def test_an_observable_that_does_not_vary(self, runs, capsys):
        said = complaint(capsys, MOLECULE, "-n", "20", "--along", "P(L)", "--out", "o")
        assert "P(L) takes the values 0 and 1 alone" in said

    def test_a_generator_without_a_latent_space(self, runs, capsys):
        said = complaint(capsys, "runs/reverse", "-n", "20", "--between", "0", "1", "--out", "o")
        assert "ReverseDiffusion has no inverse to a latent space" in said

    def test_a_mode_that_no_sample_lies_in(self, runs, capsys):
        x = torch.tensor([[-1.7, 0.0]]).expand(10, 2)
        u = DoubleWell(kT=8.0)(x)
        np.savez("s.npz", x=x.numpy(), u=u.numpy(), log_q=u.numpy())
        said = complaint(capsys, HOT_RUN, "--samples", "s.npz", "--between", "left", "right", "--out", "o")
        assert "none of 10 samples lies in mode right: draw more" in said

    @pytest.mark.parametrize("n", [0, 1])
    def test_a_file_of_one_sample(self, runs, n, capsys):
        x = torch.zeros(n, 2)
        np.savez("s.npz", x=x.numpy(), u=np.zeros(n), log_q=np.zeros(n))
        said = complaint(capsys, HOT_RUN, "--samples", "s.npz", "--along", "x1", "--out", "o")
        assert ("there is 1 sample: no error bar" if n else "s.npz holds no configurations") in said

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"x": np.zeros((100, 3))}, "holds configurations of shape (3,), and those of DoubleWell have (2,)"),
            ({"u": np.zeros(50)}, "u in s.npz has shape (50,), and must hold one number per configuration, (100,)"),
            ({"log_q": np.zeros(50)}, "log_q in s.npz has shape (50,), and must hold one number per configuration, (100,)"),
            ({"u": np.full(100, 7.0)}, "has u = 7.0000 kT there"),
            ({"u": np.full(100, np.inf)}, "none of 100 samples has a finite energy"),
        ],
        ids=["x", "u", "log_q", "another system", "no energy"],
    )
    def test_samples_that_do_not_fit(self, runs, change, sentence, capsys):
        save("draws", "s.npz", 100)
        with np.load("s.npz") as file:
            arrays = {name: a for name, a in {**file, **change}.items() if a is not None}
        np.savez("s.npz", **arrays)
        assert sentence in complaint(capsys, HOT_RUN, "--samples", "s.npz", "--along", "x1", "--out", "o")

    def test_a_file_that_is_none(self, runs, capsys):
        Path("s.npz").write_text("no archive")
        assert "s.npz is no readable npz file" in complaint(
            capsys, HOT_RUN, "--samples", "s.npz", "--along", "x1", "--out", "o"
        )

    def test_drawing_and_reading_at_once(self, runs, capsys):
        save("draws", "s.npz", 100)
        said = complaint(capsys, HOT_RUN, "--samples", "s.npz", "-n", "50", "--along", "x1", "--out", "o")
        assert "-n 50 draws samples and --samples s.npz reads them" in said

    def test_files_that_are_there(self, runs, capsys, empty_figures):
        Path("o").mkdir()
        Path("o/profile.png").write_text("mine")
        with pytest.raises(SystemExit):
            profile.main([HOT_RUN, "-n", "100", "--along", "x1", "--out", "o"])
        assert "'o/profile.png' exists: give another --out, or overwrite it with --force" in capsys.readouterr().err
        assert [p.name for p in Path("o").iterdir()] == ["profile.png"]
        profile.main([HOT_RUN, "-n", "100", "--along", "x1", "--out", "o", "--force"])
        assert Path("o/profile.png").read_bytes() == BLANK
        Path("file").write_text("")
        with pytest.raises(SystemExit):
            profile.main([HOT_RUN, "-n", "100", "--along", "x1", "--out", "file"])
        assert "'file' is no folder" in capsys.readouterr().err

    def test_nothing_is_left_when_a_later_file_cannot_be_written(self, runs, capsys, monkeypatch):
        def full(figure):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("lit_bg.figures.style.png", full)
        assert "No space left on device, writing into 'o'" in complaint(
            capsys, HOT_RUN, "-n", "100", "--along", "x1", "--out", "o"
        )


@pytest.mark.parametrize(("kind", "type_"), [("draws", Samples), ("chains", Chains), ("populations", Populations)])
def test_load_samples(kind, type_, tmp_path):
    save(kind, tmp_path / "s.npz", 400)
    _, found = load_samples(tmp_path / "s.npz", DoubleWell(kT=8.0))
    assert type(found) is type_
    x = DoubleWell(kT=8.0).exact_samples(400, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.x.reshape(-1, 2), x)
    torch.testing.assert_close(found.u.flatten().float(), DoubleWell(kT=8.0)(x), atol=1e-4, rtol=1e-4)


def test_energies_that_a_file_lacks_are_evaluated(tmp_path):
    energy = DoubleWell(kT=8.0)
    x = energy.exact_samples(100, torch.Generator().manual_seed(0))
    u = energy(x).double()
    for arrays in ({"log_q": -u - energy.log_Z}, {"log_w": torch.zeros(100)}):
        np.savez(tmp_path / "s.npz", x=x.numpy(), **{name: a.numpy() for name, a in arrays.items()})
        _, found = load_samples(tmp_path / "s.npz", energy)
        torch.testing.assert_close(found.u, u)
        assert found.log_w.std() < 1e-5


def test_samples_under_other_conditions_are_of_the_system_under_these(tmp_path):
    energy = Tempered(DoubleWell(kT=8.0), 4.0, 16.0)
    colder = DoubleWell(kT=5.0)
    x = colder.exact_samples(100, torch.Generator().manual_seed(0))
    np.savez(tmp_path / "s.npz", x=x.numpy(), u=colder(x).numpy(), log_q=-colder(x).numpy(), context=np.array([5.0]))
    found, samples = load_samples(tmp_path / "s.npz", energy)
    assert found.kT == 5.0
    torch.testing.assert_close(found(x), samples.u.float())
