"""python -m lit_bg.sample --sampler: what it refuses before it begins, what it writes, and how it goes on."""

import json
import re
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch
from made_runs import make_run
from test_sample import SYSTEMS

from lit_bg import judge, sample
from lit_bg.commands import sample_with
from lit_bg.commands.sample_with import read_sampler
from lit_bg.config.cli import build
from lit_bg.data.given_samples import read_samples
from lit_bg.energies import Energy
from lit_bg.report.summary import Summary
from lit_bg.simulators import Interrupted, Recorder

STEP = ["kernel.class_path=Metropolis", "kernel.init_args.step_size=0.5"]
SMALL = {
    "SMC": ["SMC", *STEP, "particles=32", "populations=3", "moves=2", "pilot=32"],
    "AIS": ["AIS", *STEP, "n=100", "pilot=32"],
    "MarkovChains": ["MarkovChains", "kernel.class_path=ISIR", "kernel.init_args.k=4", "frames=40", "walkers=6", "burn_in=2"],
    "Importance": ["Importance", "n=200"],
}
ARRAYS = {
    "SMC": {"x": (3, 32, 2), "log_w": (3, 32), "u": (3, 32), "ancestor": (3, 32)},
    "AIS": {"x": (100, 2), "log_q": (100,), "u": (100,), "log_w": (100,), "of_paths": ()},
    "MarkovChains": {"x": (40, 6, 2), "u": (40, 6), "start": (6, 2)},
    "Importance": {"x": (200, 2), "log_q": (200,), "u": (200,), "log_w": (200,)},
}


def arguments(name):
    first, *rest = SMALL[name]
    return ["--sampler", first, *(f"--sampler.{word}" for word in rest)]


def exact_samples(system):
    return system.exact_samples(1000, torch.Generator().manual_seed(0)).float()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs whose generators have learned nothing; a double well at a temperature where that is enough."""
    runs = tmp_path_factory.mktemp("made") / "runs"
    for name, (energy, own) in {**SYSTEMS, "other": SYSTEMS["double_well"]}.items():
        energy = energy if name == "alanine" else {**energy, "init_args": {"kT": 3.0}}
        frames = None if name == "alanine" else exact_samples
        make_run(runs / name / "version_0", energy, {"class_path": "CouplingFlow", "init_args": own}, frames)
    return runs


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to(made)


DOUBLE_WELL, MOLECULE = "runs/double_well/version_0", "runs/alanine/version_0"


@pytest.mark.parametrize("name", SMALL)
def test_what_is_written(runs, name, capsys, empty_figures):
    sample.main([DOUBLE_WELL, *arguments(name), "--out", "s.npz"])
    with np.load("s.npz") as file:
        assert {key: array.shape for key, array in file.items()} == ARRAYS[name]
    summary = json.loads(Path("s.npz.summary.json").read_text())
    assert summary["verdict"] in ("trust", "do not trust", "unchecked")
    assert summary["sampler"]["class"] == name
    assert summary["cost"]["energies"] > 0
    assert summary["cost"]["seconds"] > 0
    assert summary["cost"]["field_evaluations"] == 0
    assert {"configurations.png", "energies.png", "profile_x1.png"} <= {file.name for file in Path("s.npz.figures").iterdir()}
    assert not Path("s.npz.partial").exists()
    printed = capsys.readouterr().out
    assert "Verdict: " in printed
    assert "Written: s.npz, s.npz.summary.json and s.npz.figures" in printed


@pytest.mark.parametrize(("kernel", "times"), [("MALA", 0), ("ISIR", 1)])
def test_the_density_is_examined_where_it_is_used(runs, kernel, times, monkeypatch, empty_figures):
    """Chains of local moves alone are right whatever log q is, and its Jacobian may take more than the chains."""
    asked = []
    monkeypatch.setattr(sample_with, "density_defect", lambda *arguments: asked.append(arguments))
    words = [f"kernel.class_path={kernel}", "frames=8", "walkers=4", "burn_in=60"]
    sample.main([DOUBLE_WELL, "--sampler", "MarkovChains", *(f"--sampler.{word}" for word in words), "--out", "s.npz"])
    assert len(asked) == times


@pytest.mark.parametrize("name", SMALL)
def test_the_judge_reads_what_is_written_and_says_the_same(runs, name, empty_figures):
    """From inside of the run folder, too, where log q is taken for that of the generator unless the file says otherwise."""
    for out in (Path("s.npz"), Path(DOUBLE_WELL, f"{name}.npz")):
        sample.main([DOUBLE_WELL, *arguments(name), "--out", str(out)])
        mine = Summary.read(f"{out}.summary.json")
        theirs = judge.judge(str(out), DOUBLE_WELL)
        assert theirs.verdict == mine.verdict
        for key, row in mine.observables.items():
            assert theirs.observables[key].reweighted == pytest.approx(row.reweighted, abs=1e-6)


def test_frames_of_a_trajectory_keep_their_walkers(runs, empty_figures):
    chains = ["--sampler", "MarkovChains", "--sampler.kernel.class_path=ISIR", "--sampler.kernel.init_args.k=3"]
    sample.main([MOLECULE, *chains, "--sampler.walkers=3", "--sampler.frames=5", "--sampler.burn_in=0", "--out", "m.xtc"])
    given = read_samples(Path("m.xtc"), build(Energy, SYSTEMS["alanine"][0]))
    assert given.lead == (5, 3)
    assert given.start.shape == (3, 22, 3)


def test_a_yaml_is_a_sampler_too(runs):
    Path("isir.yaml").write_text(
        "class_path: MarkovChains\ninit_args:\n  kernel: {class_path: ISIR, init_args: {k: 5}}\n  walkers: 7\n"
    )
    sampler = read_sampler("isir.yaml", ["--sampler.frames=9"])
    assert (type(sampler).__name__, sampler.kernel.k, sampler.walkers, sampler.frames) == ("MarkovChains", 5, 7, 9)


def test_structures_with_their_weights(runs, empty_figures):
    sample.main([MOLECULE, "--sampler", "Importance", "--sampler.n=12", "--out", "m.xtc"])
    assert len(mdtraj.load("m.xtc", top="m.xtc.topology.pdb")) == 12
    with np.load("m.xtc.weights.npz") as file:
        assert {key: array.shape for key, array in file.items()} == {"log_q": (12,), "u": (12,), "log_w": (12,)}


def test_two_runs_propose_together(runs, empty_figures, capsys):
    sample.main([DOUBLE_WELL, "--blend", "runs/other/version_0", "-n", "300", "--out", "b.npz"])
    assert "Verdict: " in capsys.readouterr().out
    with np.load("b.npz") as file:
        assert file["x"].shape == (300, 2)


@pytest.mark.parametrize("name", ["SMC", "MarkovChains"])
def test_an_interrupted_sampler_goes_on(runs, name, monkeypatch, empty_figures):
    """Broken off in the middle, and continued by the same command: the files are those of an uninterrupted one, bit for bit."""
    sample.main([DOUBLE_WELL, *arguments(name), "--out", "whole.npz"])
    calls = []

    def interrupted(recorder):
        calls.append(1)
        return len(calls) == 3

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "interrupted", property(interrupted, lambda *_: None))
        with pytest.raises(Interrupted, match=r"the same command goes on from the last state in .*part.npz.partial"):
            sample.sample(DOUBLE_WELL, 1, "part.npz", **given(name))
    assert Path("part.npz.partial").is_dir()
    with pytest.raises(ValueError, match=r"unfinished simulation with seed = 0, not 1: .* start again with --force"):
        sample.sample(DOUBLE_WELL, 1, "part.npz", seed=1, **given(name))
    sample.sample(DOUBLE_WELL, 1, "part.npz", **given(name))
    with np.load("whole.npz") as whole, np.load("part.npz") as part:
        assert all(np.array_equal(array, part[key]) for key, array in whole.items())
    assert not Path("part.npz.partial").exists()


def given(name):
    first, *rest = arguments(name)[1:]
    return {"sampler": first, "sampler_arguments": rest}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([DOUBLE_WELL, "--sampler", "MarkovChain"], r"did you mean 'MarkovChains'\?"),
        ([DOUBLE_WELL, "--sampler", "SMC", "--sampler.kernel=MALA", "--sampler.partikles=3"], "did you mean 'particles'"),
        ([DOUBLE_WELL, "--sampler", "SMC", "--sampler.kernel=MALA", "--sampler.keep=2"], "a share keep between 0 and 1"),
        ([DOUBLE_WELL, "--sampler", "MarkovChains", "--sampler.kernel=TorsionMoves"], "DoubleWell has no bond that turns"),
        ([DOUBLE_WELL, "--sampler", "SMC", "--sampler.kernel=Langevin"], "Langevin has an error of its time step"),
        ([DOUBLE_WELL, "--sampler", "there_is_none.yaml"], "there is no file 'there_is_none.yaml'"),
        ([DOUBLE_WELL, "--sampler", "Importance", "--reference", "nothing.npz"], "nothing.npz"),
        ([DOUBLE_WELL, "--blend", MOLECULE], "is of another system than"),
        ([DOUBLE_WELL, "--blend", "runs/nobody/version_3"], "is no run folder"),
        ([DOUBLE_WELL, "--reference", "nothing.npz"], "--reference is for the verdict on what a sampler found"),
        (["runs/nobody", "--sampler", "SMC"], "is no run folder"),
    ],
)
def test_refusals(runs, words, message, capfd):
    with pytest.raises(SystemExit) as left:
        sample.main([*words, "--out", "s.npz"])
    assert left.value.code == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error
    assert not Path("s.npz").exists()


def test_arguments_of_no_sampler(runs, capfd):
    with pytest.raises(SystemExit):
        sample.main([DOUBLE_WELL, "--sampler.n=3", "--out", "s.npz"])
    assert "unrecognized arguments: --sampler.n=3 without --sampler" in capfd.readouterr().err


def test_files_that_exist_are_kept(runs, empty_figures, capfd):
    Path("s.npz.summary.json").write_text("precious")
    with pytest.raises(SystemExit):
        sample.main([DOUBLE_WELL, *arguments("Importance"), "--out", "s.npz"])
    assert "exists: give another --out, or overwrite it with --force" in capfd.readouterr().err
    assert Path("s.npz.summary.json").read_text() == "precious"
    sample.main([DOUBLE_WELL, *arguments("Importance"), "--out", "s.npz", "--force"])
    assert Path("s.npz.summary.json").read_text() != "precious"
