"""python -m lit_bg.sample: what it refuses before it begins, what it writes, and that it writes all or nothing."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from made_runs import make_run

import lit_bg
import lit_bg.runs.load
from lit_bg import sample
from lit_bg.molecules import save_structures

ROOT = Path(__file__).parent.parent
ALANINE = {
    "topology": str(ROOT / "experiments/alanine_dipeptide.pdb"),
    "forcefield": ["amber99sbildn.xml", "amber99_obc.xml"],
}
SYSTEMS = {
    "double_well": ({"class_path": "DoubleWell"}, {"blocks": 1, "hidden": [4]}),
    "alanine": (
        {"class_path": "Molecule", "init_args": ALANINE},
        {"blocks": 1, "hidden": [4], "coordinates": {"class_path": "InternalCoordinates"}},
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs whose generators have learned nothing: what `load` needs of a run folder, and no more."""
    runs = tmp_path_factory.mktemp("made") / "runs"
    for name, (energy, arguments) in SYSTEMS.items():
        make_run(runs / name / "version_0", energy, {"class_path": "CouplingFlow", "init_args": arguments})
    return runs


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(made)


DOUBLE_WELL, MOLECULE = "runs/double_well/version_0", "runs/alanine/version_0"


def written():
    return sorted(p.name for p in Path().iterdir() if p.name != "runs")


def complaint(capsys, *args):
    """What is said by a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        sample.main([str(a) for a in args])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_without_arguments_it_prints_its_help(capsys):
    sample.main([])
    printed = capsys.readouterr().out
    for word in ("usage: python -m lit_bg.sample", "--force", "--checkpoint", "weights.npz"):
        assert word in printed


class TestWhatItWrites:
    def test_numbers(self, runs, capsys):
        sample.main([DOUBLE_WELL, "-n", "50", "--out", "new/s.npz", "--seed", "3"])
        expected = lit_bg.load(DOUBLE_WELL).sample(50, seed=3)
        with np.load("new/s.npz") as file:
            assert sorted(file) == ["log_q", "log_w", "u", "x"]
            assert np.array_equal(file["x"], expected.x.numpy())
            assert np.array_equal(file["log_w"], expected.log_w.numpy())
        assert "50 samples in new/s.npz: ESS" in capsys.readouterr().out
        assert [p.name for p in Path("new").iterdir()] == ["s.npz"]

    @pytest.mark.parametrize("suffix", ["xtc", "dcd", "pdb"])
    def test_structures_that_mdtraj_opens_with_what_lies_beside_them(self, runs, suffix, capsys):
        sample.main([MOLECULE, "-n", "4", "--out", f"w.{suffix}"])
        beside = ["w.pdb.weights.npz"] if suffix == "pdb" else [f"w.{suffix}.topology.pdb", f"w.{suffix}.weights.npz"]
        assert written() == sorted([f"w.{suffix}", *beside])
        back = mdtraj.load(f"w.{suffix}", **({} if suffix == "pdb" else {"top": f"w.{suffix}.topology.pdb"}))
        trained = lit_bg.load(MOLECULE)
        s = trained.sample(4)
        np.testing.assert_allclose(back.xyz, s.x.numpy(), atol=6e-4)
        assert [a.name for a in back.topology.atoms] == list(trained.energy.structure.names)
        assert back.topology.n_bonds == len(trained.energy.structure.bonds)
        with np.load(f"w.{suffix}.weights.npz") as file:
            assert sorted(file) == ["log_q", "log_w", "u"]
            assert np.array_equal(file["u"], s.u.numpy())
        printed = capsys.readouterr().out
        assert all(name in printed for name in beside)

    def test_one_sample(self, runs, capsys):
        sample.main([DOUBLE_WELL, "-n", "1", "--out", "s.npz"])
        assert "1 samples in s.npz" in capsys.readouterr().out


class TestWhatIsRefusedFirst:
    """Before anything heavy is imported, so nothing is loaded and nothing is lost."""

    @pytest.fixture(autouse=True)
    def _nothing_is_loaded(self, monkeypatch):
        def loaded(*_):
            raise AssertionError("loaded a run")

        monkeypatch.setattr(lit_bg.runs.load, "load", loaded)

    @pytest.mark.parametrize("there", ["w.xtc", "w.xtc.weights.npz", "w.xtc.topology.pdb"])
    def test_a_file_that_is_there(self, runs, there, capsys):
        Path(there).write_text("precious")
        said = complaint(capsys, MOLECULE, "--out", "w.xtc")
        assert said == f"lit_bg: '{there}' exists: give another --out, or overwrite it with --force."
        assert written() == [there]
        assert Path(there).read_text() == "precious"

    def test_a_link_to_nowhere_is_there_too(self, runs, capsys):
        Path("w.npz").symlink_to("nowhere")
        assert "'w.npz' exists" in complaint(capsys, DOUBLE_WELL, "--out", "w.npz")

    def test_a_folder_even_by_force(self, runs, capsys):
        Path("w.npz").mkdir()
        assert "'w.npz' is a folder" in complaint(capsys, DOUBLE_WELL, "--out", "w.npz", "--force")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["-n", 0], "-n must be at least 1, got 0."),
            (["-n", -5], "-n must be at least 1, got -5."),
            (["--batch_size", 0], "--batch_size must be at least 1, got 0."),
            (["--checkpoint", "bset"], "no checkpoint 'bset' in 'runs/double_well/version_0/checkpoints' (there: best)."),
            (["--checkpoint", "last"], "no checkpoint 'last' in"),
            (["--out", "w.gro"], "cannot write 'w.gro': the suffix must be .npz, or .pdb, .xtc, .dcd for molecules."),
            (["--out", "w"], "cannot write 'w': the suffix"),
            (["--out", "runs/double_well/version_0/config.yaml/w.npz"], "cannot write into"),
            (["--device", "cuda:99"], "--device cuda:99 cannot be used here ("),
            (["--device", "gpu"], "--device gpu cannot be used here ("),
            (["--device", "meta"], "--device meta cannot be used here ("),
        ],
    )
    def test_an_argument(self, runs, arguments, words, capsys):
        said = complaint(capsys, DOUBLE_WELL, "--out", "s.npz", *arguments)
        assert said.startswith(f"lit_bg: {words}")
        assert written() == []

    @pytest.mark.parametrize("run", ["runs/double_well/version_7", "runs/none", "nowhere"])
    def test_a_run_that_is_not_there(self, runs, run, capsys):
        assert f"'{run}' is no run folder" in complaint(capsys, run, "--out", "s.npz")

    def test_without_torch(self, runs):
        """The same in a process of its own, which is over before torch would be there."""
        code = (
            "import sys; from lit_bg import sample\n"
            f"try: sample.main([{DOUBLE_WELL!r}, '--out', 's.npz', '--checkpoint', 'x'])\n"
            "except SystemExit: print('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_structures_of_something_else(runs, capsys):
    assert "DoubleWell is no molecule: write .npz" in complaint(capsys, DOUBLE_WELL, "--out", "w.xtc")


def test_the_newest_run_of_an_experiment(runs):
    sample.main(["runs/double_well", "-n", "2", "--out", "s.npz"])
    assert written() == ["s.npz"]


def test_force_overwrites_what_is_there(runs):
    for name in ("w.xtc", "w.xtc.weights.npz", "w.xtc.topology.pdb"):
        Path(name).write_text("old")
    sample.main([MOLECULE, "-n", "3", "--out", "w.xtc", "--force"])
    assert len(mdtraj.load("w.xtc", top="w.xtc.topology.pdb")) == 3
    with np.load("w.xtc.weights.npz") as file:
        assert len(file["u"]) == 3


def test_ctrl_c_writes_nothing(runs, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(lit_bg.runs.load.Run, "sample", interrupted)
    with pytest.raises(SystemExit) as stop:
        sample.main([DOUBLE_WELL, "--out", "s.npz"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "Interrupted; nothing was written.\n"
    assert written() == []


@pytest.fixture
def limited():
    """No file may grow beyond so many bytes, as on a full disk."""
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


class TestFullDisk:
    @pytest.mark.parametrize("out", ["w.npz", "w.xtc", "w.dcd", "w.pdb"])
    @pytest.mark.parametrize("size", [500, 2000])
    def test_nothing_is_left(self, runs, out, size, capsys, limited):
        """Neither half a file nor one of three; and what stood there before still stands."""
        for name in (out, f"{out}.weights.npz"):
            Path(name).write_text("old")
        before = written()
        limited(size)
        with pytest.raises(SystemExit) as stop:
            sample.main([DOUBLE_WELL if out == "w.npz" else MOLECULE, "-n", "200", "--out", out, "--force"])
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert said.endswith(f", writing '{out}': make room, or give another --out.\n")
        assert said.count("\n") == 1
        assert written() == before
        assert {Path(name).read_text() for name in before} == {"old"}

    @pytest.mark.parametrize("suffix", ["xtc", "dcd"])
    @pytest.mark.parametrize("missing", [1, 100, 500])
    def test_the_end_of_a_trajectory_is_missed(self, runs, suffix, missing, limited):
        """mdtraj says nothing of the last block that it could not write."""
        energy = lit_bg.load(MOLECULE).energy
        x = energy.initial.expand(20, -1, -1)
        save_structures(energy.structure, x, f"whole.{suffix}")
        limited(Path(f"whole.{suffix}").stat().st_size - missing)
        with pytest.raises(OSError, match=f"'cut.{suffix}' could not be written whole"):
            save_structures(energy.structure, x, f"cut.{suffix}")
        assert written() == [f"whole.{suffix}"]
