"""What is built to be given away is complete, and runs where nothing but it is installed."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from snippets import ROOT

from lit_bg import shipped
from lit_bg.molecules.topologies import PDB
from lit_bg.runs.folder import RunFolder
from lit_bg.runs.system import load_system

NOT_SOURCES = {".git", ".venv", "build", "dist", "runs", "data", "site"}
EXPERIMENTS = {p.relative_to(ROOT).as_posix() for p in (ROOT / "experiments").rglob("*") if p.suffix in (".yaml", ".pdb")}


def build(kind: str, source: Path, out: Path) -> Path:
    """Build as every front end does, without one, and without a network."""
    out.mkdir(exist_ok=True)
    call = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", call], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """The sources unpacked: from them a wheel has to be built by somebody who has no repository."""
    folder = tmp_path_factory.mktemp("sdist")
    work = folder / "checkout"  # a build leaves folders where it runs
    work.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in NOT_SOURCES and entry.suffix != ".egg-info":
            (work / entry.name).symlink_to(entry)
    file = build("sdist", work, folder / "out")
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    return folder / file.name.removesuffix(".tar.gz")


@pytest.fixture(scope="session")
def wheel(sources, tmp_path_factory):
    return build("wheel", sources, tmp_path_factory.mktemp("wheel") / "out")


def files_of(root: Path, folder: str) -> set[str]:
    files = (p.relative_to(root) for p in (root / folder).rglob("*") if p.is_file())
    return {p.as_posix() for p in files if "__pycache__" not in p.parts}


def test_a_wheel_holds_the_package_and_the_experiments_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode()
    assert names == files_of(ROOT, "lit_bg") | {f"lit_bg/{name}" for name in EXPERIMENTS}
    for ending in (".cpp", ".csv", "py.typed", "experiments/double_well.yaml", "experiments/penta_alanine.pdb"):
        assert any(name.endswith(ending) for name in names), ending
    for extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]:
        assert f"Provides-Extra: {extra}" in text


def test_sources_hold_what_tests_and_documentation_need(sources):
    for folder in ("lit_bg", "tests", "docs", "experiments", "docker", ".ci", ".github"):
        assert files_of(sources, folder) == files_of(ROOT, folder)
    for name in ("README.md", "LICENSE", "CHANGELOG.md", "constraints.txt", "pyproject.toml", "setup.py", "mkdocs.yml"):
        assert (sources / name).read_bytes() == (ROOT / name).read_bytes()


def test_an_experiment_that_is_not_here_is_taken_from_the_package(tmp_path, monkeypatch, capsys):
    """The YAML, the structure that it names, and the copy of it that a run keeps."""
    monkeypatch.chdir(tmp_path)
    shipped._say.cache_clear()
    assert load_system("experiments/double_well.yaml").energy.space.shape == (2,)
    assert PDB("experiments/alanine_dipeptide.pdb", ["amber96.xml"]).read().positions.shape == (22, 3)
    said = capsys.readouterr().err.splitlines()
    places = ["experiments/double_well.yaml", "experiments/alanine_dipeptide.pdb"]
    assert said == [f"lit_bg: {p} is not here: taken from the package, {ROOT / p}" for p in places]
    folder = RunFolder(tmp_path / "runs/a/version_0")
    folder.path.mkdir(parents=True)
    folder.keep_inputs({"topology": "experiments/alanine_dipeptide.pdb", "forcefield": ["amber96.xml"]})
    assert [p.name for p in folder.inputs.iterdir()] == ["alanine_dipeptide.pdb"]
    assert capsys.readouterr().err == ""  # once is enough


def test_what_is_here_comes_first_and_what_is_nowhere_stays_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "experiments/double_well.yaml"
    mine.parent.mkdir()
    mine.write_text("{}")
    name = "experiments/double_well.yaml"
    assert shipped.locate(name) == name
    for path in (
        "experiments/../pyproject.toml",
        "experiments/no.yaml",
        "other/double_well.yaml",
        str(mine),
        "",
        "experiments",
    ):
        assert shipped.locate(path) == path
    given = ["-c", "experiments/dw4.yaml", "--config=./experiments/lj13.yaml", "--name", "-c"]
    found = ["-c", str(ROOT / "experiments/dw4.yaml"), f"--config={ROOT / 'experiments/lj13.yaml'}", "--name", "-c"]
    assert shipped.locate_configurations(given) == found
    assert capsys.readouterr().out == ""  # what a command prints may be read by a program
    assert shipped.suggest("experiments/duble_well.yaml") == "experiments/double_well.yaml"
    assert shipped.suggest("experiments/samplers/peptide_smk.yaml") == "experiments/samplers/peptide_smc.yaml"


@pytest.mark.slow
def test_the_main_job_runs_from_the_wheel_alone(wheel, tmp_path):
    """In an environment that sees the dependencies and not the checkout, from a folder elsewhere."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = home / "bin/python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    # Packages there are seen, a checkout that a .pth file there names is not.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"WANDB_MODE": "disabled"}

    def call(*words: str) -> str:
        done = subprocess.run([str(python), *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    call("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    where = call("-c", "import lit_bg; print(lit_bg.__file__)").strip()
    assert Path(where).is_relative_to(home)
    short = ["--trainer.max_epochs=2", "--data.steps_per_epoch=20", "--data.val_samples=1000", "--data.test_samples=5000"]
    said = call("-m", "lit_bg.fit", "-c", "experiments/double_well.yaml", *short)
    assert f"taken from the package, {Path(where).parent / 'experiments/double_well.yaml'}" in said
    assert "Run folder: runs/double_well/version_0" in said
    assert {p.name for p in (tmp_path / "runs/double_well/version_0").iterdir()} >= {"summary.json", "figures", "config.yaml"}
    peptide = ["--trainer.max_epochs=0", "--data.path=null", "--print_config"]
    assert "topology: experiments/tri_alanine.pdb" in call("-m", "lit_bg.fit", "-c", "experiments/tri_alanine.yaml", *peptide)
    molecule = "from lit_bg.runs.system import load_system as l; print(l('experiments/tri_alanine.yaml').energy.space.shape)"
    assert "(42, 3)" in call("-c", molecule)
