"""python -m lit_bg.judge: the verdict of a run on its own samples, and no good word for anybody's bad ones."""

import copy
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_experiment import SMALL

from lit_bg import fit, judge, sample
from lit_bg.config.cli import build
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.given import compare_given_energies, find_clipped_weights
from lit_bg.energies import DoubleWell, Energy, GaussianMixture
from lit_bg.energies.base import Observable
from lit_bg.generators import Generator
from lit_bg.simulators.base import Trajectory

ROOT = Path(__file__).parent.parent
HOT = 3.0  # the double well is crossed often
N = 8000
ALANINE = {
    "class_path": "Molecule",
    "init_args": {
        "topology": str(ROOT / "experiments/alanine_dipeptide.pdb"),
        "forcefield": ["amber99sbildn.xml", "amber99_obc.xml"],
    },
}
SYSTEMS = {
    "wells": {"class_path": "DoubleWell"},
    "hot": {"class_path": "DoubleWell", "init_args": {"kT": HOT}},
    "bare": {"class_path": f"{__name__}.Bare"},
    "alanine": ALANINE,
}


class Bare(DoubleWell):
    """The double well of which nothing is known but where its modes are."""

    log_Z = None
    observables = property(lambda self: {n: o._replace(exact=None) for n, o in super().observables.items()})
    modes = property(lambda self: super().modes._replace(exact=None))


class Column(DoubleWell):
    observables = property(lambda self: {"a": Observable(lambda x: x[:, :1])})


class Elsewhere(DoubleWell):
    observables = property(lambda self: {"a": Observable(lambda x: x[:, 7])})


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def exact(n=N, kT=1.0, seed=0):
    return DoubleWell(kT=kT).exact_samples(n, rng(seed))


def proposals(n=N, seed=0, right=0.4):
    """Normal densities at both wells, and their log q."""
    mixture = GaussianMixture(means=[[-1.75, 0.0], [1.6, 0.0]], scale=[1.1, 1.1], weights=[1 - right, right])
    x = mixture.exact_samples(n, rng(seed))
    return {"x": x.numpy(), "log_q": -mixture(x).numpy()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """YAML files of systems, and reference data of the double well."""
    folder = tmp_path_factory.mktemp("made")
    for name, energy in SYSTEMS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"model": {"energy": energy}}))
    for name, energy in (("wells", DoubleWell()), ("bare", Bare())):
        x = exact(seed=9).reshape(N // 8, 8, 2)
        Dataset.from_trajectory(energy, Trajectory(x)).save(folder / f"{name}_data.npz")
    return folder


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def judged(made, capsys):
    """Judge arrays against a system; returns the summary and what was printed."""

    def run(arrays, system="wells", *more):
        np.savez("s.npz", **arrays)
        judge.main(["s.npz", "--energy", str(made / f"{system}.yaml"), "--force", *map(str, more)])
        printed = capsys.readouterr().out
        assert printed.splitlines()[-1].startswith("Written: ")
        return json.loads(Path("s.npz.judge.json").read_text()), printed

    return run


def complaint(capsys, *args):
    """What is said by a command that ends with exit code 2."""
    with pytest.raises(SystemExit) as stop:
        judge.main([str(a) for a in args])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("lit_bg: ")
    return lines[0]


def said(summary):
    return " ".join(summary["reasons"])


def alike(a, b):
    """Whether two summaries say the same, up to rounding of numbers."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(alike, a, b))
    return a == (pytest.approx(b, rel=1e-6) if isinstance(b, float) else b)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, made):
    """A run that has trained for a second, with reference data."""
    place, before = tmp_path_factory.mktemp("run"), Path.cwd()
    config = copy.deepcopy(SMALL)
    config["data"]["path"] = "wells_data.npz"
    shutil.copy(made / "wells_data.npz", place)
    (place / "small.yaml").write_text(yaml.safe_dump(config))
    os.chdir(place)
    try:
        fit.main(["-c", "small.yaml"])
    finally:
        os.chdir(before)
    return place / "runs/small/version_0"


class TestOwnSamples:
    @pytest.fixture(autouse=True)
    def _where_it_was_run(self, run_folder, monkeypatch):
        monkeypatch.chdir(run_folder.parents[2])  # where the configuration finds its data

    def test_the_verdict_is_that_of_the_run(self, run_folder, capsys):
        judge.main([str(run_folder / "samples.npz"), "--energy", str(run_folder), "--out", "out"])
        printed = capsys.readouterr().out
        mine = json.loads(Path("out/judge.json").read_text())
        theirs = json.loads((run_folder / "summary.json").read_text())
        for key in ("verdict", "claims", "reasons", "observables", "modes", "n_samples", "exact_density", "reference_quality"):
            assert alike(mine[key], theirs[key]), key
        for key in ("ess", "log_Z", "log_Z_err", "ess_forward", "log_Z_forward", "pareto_k", "log_q_defect"):
            assert theirs[key] is not None
            assert alike(mine[key], theirs[key]), key
        assert f"Verdict: {theirs['verdict']}" in printed
        names = {p.name for p in Path("out/figures").iterdir()}
        assert {"configurations.png", "energies.png", "weights.png", "profile_x1.png"} <= names

    def test_samples_from_the_same_generator_ask_it_too_and_others_do_not(self, run_folder, judged, capsys):
        sample.main([str(run_folder), "-n", "2000", "--out", "s.npz"])
        judge.main(["s.npz", "--energy", str(run_folder), "--force"])
        mine = json.loads(Path("s.npz.judge.json").read_text())
        assert mine["log_q_defect"] < 1e-4
        assert mine["ess_forward"] is not None
        assert mine["remarks"] == []
        np.savez("o.npz", **proposals())
        judge.main(["o.npz", "--energy", str(run_folder)])
        other = json.loads(Path("o.npz.judge.json").read_text())
        assert other["verdict"] == "trust", other["reasons"]
        assert "not that of the run's generator" in " ".join(other["remarks"])
        assert other["log_q_defect"] is None

    def test_data_that_are_elsewhere_are_missed(self, run_folder, monkeypatch, tmp_path, capsys):
        monkeypatch.chdir(tmp_path)
        shutil.copytree(run_folder, "sent/small/version_0")
        judge.main(["sent/small/version_0/samples.npz", "--energy", "sent/small/version_0", "--out", "out"])
        assert "'wells_data.npz' of the configuration are not here: give --reference" in " ".join(
            capsys.readouterr().out.split()
        )


class TestGoodSamples:
    def test_proposals_with_log_q(self, judged):
        found, printed = judged(proposals())
        assert found["verdict"] == "trust", found["reasons"]
        assert abs(found["log_Z"] - DoubleWell().log_Z) < 4 * found["log_Z_err"]
        assert found["unknown"] == []
        assert "Verdict: trust" in printed

    def test_weights_alone_say_nothing_of_log_z(self, judged, made):
        arrays = proposals()
        u = DoubleWell()(torch.from_numpy(arrays["x"])).numpy()
        weighted = {"x": arrays["x"], "log_w": -u - arrays["log_q"] + 3.0}
        found, printed = judged(weighted)
        assert found["verdict"] == "trust", found["reasons"]
        assert found["log_Z"] is None
        assert "log Z" not in {claim["name"] for claim in found["claims"]}
        assert "log Z: samples without log q say nothing of it" in " ".join(printed.split())

    def test_frames_alone(self, judged, made):
        found, printed = judged({"x": exact().numpy()})
        assert (found["verdict"], found["kind"]) == ("trust", "chains")
        assert "virial" in printed
        assert judged({"x": exact().numpy()}, "bare")[0]["verdict"] == "unchecked"
        found, _ = judged({"x": exact().numpy()}, "bare", "--reference", made / "bare_data.npz")
        assert found["verdict"] == "trust", found["reasons"]
        assert found["energies"]["distance"] < 3 * found["energies"]["floor"]
        assert "neither the samples nor the reference data hold" in " ".join(found["unknown"])

    def test_walkers_in_every_spelling(self, judged, made):
        x = exact(4000, HOT).reshape(500, 8, 2)
        u = DoubleWell(kT=HOT)(x.flatten(0, 1)).reshape(500, 8)
        walker = torch.arange(8).expand(500, 8)
        spellings = (
            ({"x": x.numpy(), "u": u.numpy()}, ()),
            ({"x": x.transpose(0, 1).flatten(0, 1).numpy(), "u": u.T.flatten().numpy()}, ("--walkers", "8")),
            ({"x": x.flatten(0, 1).numpy(), "walker": walker.flatten().numpy()}, ()),
            ({"x": x.flatten(0, 1).numpy(), "u": u.numpy()}, ()),
        )
        found = [judged(arrays, "hot", *more)[0] for arrays, more in spellings]
        for one in found:
            assert (one["frames"], one["walkers"]) == (500, 8)
            assert one["mixing"] == found[0]["mixing"]
            assert one["starts"] == found[0]["starts"]

    def test_starts_and_populations_as_samplers_write_them(self, judged):
        x = exact(4000, HOT).reshape(500, 8, 2)
        start = DoubleWell().initial.repeat(4, 1)
        found, _ = judged({"x": x.numpy(), "start": start.numpy()}, "hot")
        assert found["starts"] == {"left": 4, "right": 4}
        assert found["verdict"] == "trust", found["reasons"]
        arrays = proposals()
        x = torch.from_numpy(arrays["x"])
        u = DoubleWell()(x)
        columns = {"log_w": (-u.numpy() - arrays["log_q"]).reshape(8, -1), "u": u.numpy().reshape(8, -1)}
        ancestor = np.tile(np.arange(N // 8), (8, 1))
        found, printed = judged({"x": x.reshape(8, -1, 2).numpy(), "ancestor": ancestor, **columns})
        assert (found["verdict"], found["kind"]) == ("trust", "populations"), found["reasons"]
        assert f"8 populations of {N // 8}" in printed

    def test_a_data_file_of_ours(self, judged, made, capsys):
        judge.main([str(made / "wells_data.npz"), "--energy", str(made / "wells.yaml"), "--out", "data"])
        found = json.loads(Path("data/judge.json").read_text())
        assert (found["verdict"], found["walkers"]) == ("trust", 8)


def lost_mode():
    x = exact(2 * N)
    return {"x": x[x[:, 0] < 0][:N].numpy()}


def lost_with_log_q():
    a = proposals(2 * N)
    keep = a["x"][:, 0] < 0
    return {name: column[keep] for name, column in a.items()}


def doubled():
    x = exact(N // 2)
    return {"x": torch.cat([x, x])[torch.randperm(N, generator=rng())].numpy()}


def with_weights(change):
    a = proposals()
    u = DoubleWell()(torch.from_numpy(a["x"])).numpy()
    log_w = -u - a["log_q"]
    return {**a, "u": u, "log_w": change(log_w)}


def clipped(log_w):
    return np.minimum(log_w, np.quantile(log_w, 0.95))


BAD = {
    "a lost mode": (lost_mode, "no walker has found mode right"),
    "a lost mode, with log q": (lost_with_log_q, "lost mode right"),
    "another temperature": (lambda: {"x": exact(kT=1.3).numpy()}, "the virial is"),
    "a lower temperature": (lambda: {"x": exact(kT=0.7).numpy()}, "colder than the energy says"),
    "frames twice": (doubled, "duplicates"),
    "proposals twice": (lambda: {k: np.concatenate([v, v]) for k, v in proposals(N // 2).items()}, "duplicates"),
    "clipped weights": (lambda: with_weights(clipped), "is not -u - log q"),
    "clipped weights alone": (
        lambda: {k: v for k, v in with_weights(clipped).items() if k in ("x", "log_w")},
        "largest of 8000 weights are equal",
    ),
    "energies of another temperature": (
        lambda: {"x": exact().numpy(), "u": DoubleWell()(exact()).numpy() / 1.5},
        "it is that of kT = 1.5, and the energy has 1",
    ),
    "energies of another force field": (
        lambda: {"x": exact().numpy(), "u": DoubleWell(a2=5.0)(exact()).numpy()},
        "another force field",
    ),
    "a constant in log q": (
        lambda: {**proposals(), "log_q": proposals()["log_q"] - 0.3},
        "exact is 11.0205",
    ),
    "walkers that never leave": (
        lambda: {"x": torch.cat([exact(2000)[:, None] + 0 * exact(2000)[:, None] for _ in range(2)], 1).abs().numpy()},
        "",
    ),
    "lengths in another unit": (lambda: {"x": 10 * exact().numpy()}, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_samples_are_never_called_good(name, judged):
    make, because = BAD[name]
    found, printed = judged(make())
    assert found["verdict"] == "do not trust"
    assert because in said(found)
    assert "Verdict: do not trust" in printed


@pytest.mark.parametrize("name", ["a lost mode", "another temperature", "frames twice", "lengths in another unit"])
def test_and_neither_where_nothing_is_known(name, judged):
    assert judged(BAD[name][0](), "bare")[0]["verdict"] != "trust"


def test_a_lost_mode_is_seen_by_the_reference(judged, made):
    found, _ = judged(lost_mode(), "bare", "--reference", made / "bare_data.npz")
    assert found["verdict"] == "do not trust"
    assert "right" in said(found)


def test_a_constant_in_u_moves_nothing_and_is_remarked(judged):
    found, printed = judged({"x": exact().numpy(), "u": DoubleWell()(exact()).numpy() + 7})
    assert found["verdict"] == "trust"
    assert "differs by a constant, +7 kT" in " ".join(printed.split())


def test_an_unknown_array_is_remarked(judged):
    found, _ = judged({"x": exact().numpy(), "logq": np.zeros(N)})
    assert "mean nothing here: logq" in " ".join(found["remarks"])


def test_one_sample(judged):
    for arrays in ({"x": exact(1).numpy()}, proposals(1), {"x": exact(1).numpy(), "log_w": np.zeros(1)}):
        found, _ = judged(arrays)
        assert found["verdict"] != "trust"


def test_weights_that_are_all_zero(judged):
    found, _ = judged({"x": exact(100).numpy(), "log_w": np.full(100, -np.inf)})
    assert found["verdict"] == "do not trust"


class TestMolecules:
    @pytest.fixture
    def frames(self):
        energy = build(Energy, ALANINE)
        x = energy.initial[:1] + 0.003 * torch.randn(60, *energy.space.shape, generator=rng())
        return energy, x

    def test_mirrored_ones_are_outside_the_region(self, frames, made, capsys):
        _, x = frames
        x[::2, :, 0] *= -1
        np.savez("s.npz", x=x.numpy())
        judge.main(["s.npz", "--energy", str(made / "alanine.yaml")])
        found = json.loads(Path("s.npz.judge.json").read_text())
        assert found["verdict"] == "do not trust"
        assert "30 of 60 frames lie outside the region that the target covers (mirror images" in said(found)

    def test_another_unit_is_told(self, frames, made, capsys):
        np.savez("s.npz", x=10 * frames[1].numpy())
        assert "nm" in complaint(capsys, "s.npz", "--energy", made / "alanine.yaml")

    def test_a_trajectory_with_its_weights(self, made, capsys, tmp_path):
        """xtc rounds coordinates to 0.001 nm: then the energies beside it count, and all is as in npz."""
        arguments = {"blocks": 1, "hidden": [4], "coordinates": {"class_path": "InternalCoordinates"}}
        model = {"energy": ALANINE, "generator": {"class_path": "CouplingFlow", "init_args": arguments}}
        folder = Path("runs/alanine/version_0")
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"model": model}))
        generator = build(Generator, model["generator"]).build(build(Energy, ALANINE))
        state = {f"generator.{key}": value for key, value in generator.state_dict().items()}
        torch.save({"state_dict": state, "global_step": 0}, folder / "checkpoints" / "best.ckpt")
        found = []
        for suffix in ("npz", "dcd", "xtc"):
            sample.main([str(folder), "-n", "200", "--out", f"s.{suffix}"])
            judge.main([f"s.{suffix}", "--energy", str(made / "alanine.yaml")])
            found.append(json.loads(Path(f"s.{suffix}.judge.json").read_text()))
        assert "those of the file are used" in " ".join(found[2]["remarks"])
        assert [f["verdict"] for f in found] == ["do not trust"] * 3
        assert found[2]["log_Z"] == pytest.approx(found[0]["log_Z"], abs=1e-2)
        assert found[1]["n_nonfinite"] == found[0]["n_nonfinite"]


class TestBadInput:
    @pytest.fixture
    def good(self, made):
        np.savez("s.npz", x=exact(100).numpy())
        return ("--energy", made / "wells.yaml")

    def test_what_is_not_there(self, good, capsys):
        assert "there is no file 'nope.npz'" in complaint(capsys, "nope.npz", *good)
        assert "'nope' is no run folder" in complaint(capsys, "s.npz", "--energy", "nope")
        assert "no data file nope.npz" in complaint(capsys, "s.npz", *good, "--reference", "nope.npz")

    def test_what_is_written_is_not_written_over(self, good, capsys):
        judge.main(["s.npz", *map(str, good)])
        before = Path("s.npz.judge.json").read_bytes()
        capsys.readouterr()
        assert "'s.npz.judge.json' exists" in complaint(capsys, "s.npz", *good)
        assert Path("s.npz.judge.json").read_bytes() == before

    @pytest.mark.parametrize(
        ("arrays", "because"),
        [
            ({"y": np.zeros(3)}, "has no array `x` but ['y']"),
            ({"x": np.zeros((5, 3))}, "of shape (3,), and those of DoubleWell have (2,)"),
            ({"x": np.zeros((0, 2))}, "holds no configurations"),
            ({"x": np.full((5, 2), np.nan)}, "5 of 5 frames in s.npz have coordinates that are NaN"),
            ({"x": np.zeros((5, 2)), "log_q": np.zeros(4)}, "log_q in s.npz has shape (4,)"),
            ({"x": np.zeros((5, 2)), "u": np.array(["a"] * 5)}, "which are no numbers"),
            ({"x": np.zeros((5, 2)), "walker": np.array([0, 0, 0, 1, 1])}, "have 2 to 3 frames"),
            ({"x": np.zeros((5, 2)), "start": np.zeros((1, 2))}, "one configuration of shape (2,) per walker"),
            ({"x": np.zeros((6, 2)), "ancestor": np.zeros(6, int)}, "these have x of shape (P, N, ...)"),
            (
                {"x": np.zeros((2, 3, 2)), "log_w": np.zeros((2, 3)), "ancestor": np.full((2, 3), 3)},
                "names the ancestor 3, and populations of 3 have 0 to 2",
            ),
            (
                {"x": np.zeros((2, 3, 2)), "log_w": np.full((2, 3), np.nan), "ancestor": np.zeros((2, 3), int)},
                "log_w in s.npz has entries that are NaN",
            ),
            ({"x": np.zeros((5, 2)), "context": np.ones(1)}, "no conditions"),
        ],
    )
    def test_arrays_that_do_not_fit(self, good, capsys, arrays, because):
        np.savez("s.npz", **arrays)
        assert because in complaint(capsys, "s.npz", *good)

    def test_walkers_that_do_not_fit(self, good, capsys):
        assert "are no 7 walkers of equal length" in complaint(capsys, "s.npz", *good, "--walkers", 7)
        assert "--walkers must be at least 1, got 0" in complaint(capsys, "s.npz", *good, "--walkers", 0)
        np.savez("w.npz", x=exact(100).reshape(25, 4, 2).numpy())
        assert "--walkers is 5, and w.npz holds 4" in complaint(capsys, "w.npz", *good, "--walkers", 5)

    def test_files_that_are_none(self, good, capsys):
        Path("t.npz").write_text("hello")
        assert "no readable npz file" in complaint(capsys, "t.npz", *good)
        Path("t.xtc").write_text("hello")
        assert "has no topology to read it with" in complaint(capsys, "t.xtc", *good)
        Path("t.yaml").write_text("model: {}")
        assert "'t.yaml' has no model.energy" in complaint(capsys, "s.npz", "--energy", "t.yaml")
        assert "'s.npz' is neither a run folder nor the YAML" in complaint(capsys, "s.npz", "--energy", "s.npz")

    def test_reference_of_another_system(self, good, made, capsys):
        Dataset.from_trajectory(DoubleWell(kT=2.0), Trajectory(exact(800, 2.0).reshape(100, 8, 2))).save("other.npz")
        assert "at kT = 2 kT, not 1" in complaint(capsys, "s.npz", *good, "--reference", "other.npz")

    @pytest.mark.parametrize(
        ("name", "because"),
        [
            ("Column", "the observable 'a' of Column gives the shape (3, 1) for 3 configurations"),
            ("Elsewhere", "the observable 'a' of Elsewhere failed for 3 configurations of shape (3, 2)"),
        ],
    )
    def test_an_observable_that_does_not_fit(self, good, capsys, name, because):
        Path("t.yaml").write_text(yaml.safe_dump({"model": {"energy": {"class_path": f"{__name__}.{name}"}}}))
        assert because in complaint(capsys, "s.npz", "--energy", "t.yaml")

    def test_without_arguments_it_prints_its_help(self, capsys):
        judge.main([])
        assert "usage: python -m lit_bg.judge" in capsys.readouterr().out


def test_clipping_is_a_spike_and_rounding_is_none():
    w = torch.randn(5000, generator=rng(), dtype=torch.float64)
    assert find_clipped_weights(w) is None
    assert find_clipped_weights((w * 20).round() / 20) is None  # of few digits
    assert "the 50 largest" in find_clipped_weights(w.clamp_max(w.sort().values[-50]))


def test_energies_of_a_file():
    u = torch.linspace(-5, 20, 100, dtype=torch.float64)
    assert compare_given_energies(u + 0.05, u, 1.0) is None
    assert compare_given_energies(u + 3, u, 1.0).constant
    assert "kT = 2.5," in compare_given_energies(u / 2.5, u, 1.0).sentence
    assert compare_given_energies(u + torch.arange(100) % 3, u, 1.0).n == 66
