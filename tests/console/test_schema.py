"""The schema that ships is that of the signatures, and agrees with what the command line takes."""

import pytest
from small_experiment import SMALL

from lit_bg.config.cli import CLI
from lit_bg.console.check import find_problem
from lit_bg.console.schema import FILE, Schema, read_schema
from lit_bg.console.signatures import make_schema, write


@pytest.fixture(scope="module")
def made():
    return make_schema()


def test_is_that_of_the_signatures(made):
    if any(not read_schema().is_current(package) for package in ("torch", "lightning")):
        pytest.skip("the schema is of the versions in constraints.txt")
    assert write(made) == FILE.read_text(), "run `python -m lit_bg.console.signatures` and commit schema.json"


def test_our_own_part_is_that_of_the_signatures(made):
    """Whatever the versions of torch and lightning."""
    import json

    shipped = json.loads(FILE.read_text())["classes"]
    ours = [{path: entry for path, entry in part.items() if path.startswith("lit_bg.")} for part in (shipped, made["classes"])]
    assert ours[0] == ours[1]


def test_another_version_of_torch_may_know_more():
    import json

    schema = Schema(json.loads(FILE.read_text()) | {"versions": {"torch": "1.0", "lightning": "1.0"}})
    for option in ("--model.optimizer=Newest", "--model.optimizer.newest=3", "--trainer.newest=3"):
        args = ["--model.optimizer=torch.optim.Adam", option]
        assert find_problem(args, schema) is None
        assert find_problem(args) is not None
    assert find_problem(["--data.newest=3"], schema) is not None


@pytest.mark.parametrize(
    "options",
    [
        ["--model.generator.blocks", "4", "--model.energy={class_path: DoubleWell, init_args: {dim: 3}}"],
        ["--model.generator.blocs=4"],
        ["--trainer.max_epoch=4"],
        ["--trainer.callbacks+=EMA", "--trainer.callbacks.decay=0.9"],
        ["--model.generator.block=4"],
        ["--trainer.callbacks+=EMA", "--trainer.callbacks.decai=0.9"],
        ["--model.optimizer=SGD", "--model.optimizer.momentum=0.9"],
        ["--model.optimizer=Adm"],
        ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=3"],
        ["--model.optimizer.params=[]"],
        ["--data.log_Z={value: 1.0, error: 0.1, source: x}", "--data.log_Z.error=0.2"],
        ["--data.log_Z.eror=0.2"],
        ["--simulate=ReplicaExchange", "--simulate.kernel=Langevin", "--simulate.ladder.rungs=3"],
        ["--simulate=ReplicaExchange", "--simulate.kernel=Langevin", "--simulate.ladder.rung=3"],
        ["--simulate=Simulation", "--simulate.kernel={class_path: Cycle, init_args: {kernels: [{class_path: MALA}]}}"],
        ["--simulate=Simulation", "--simulate.kernel={class_path: Cycle, init_args: {kernels: [{class_path: MALAA}]}}"],
        ["--simulate=Simulation", "--simulate.kernel=DoubleWell"],
        ["--model.energy=Molecule", "--model.energy.topology=PDB", "--model.energy.topology.path=a.pdb"],
        ["--model.energy=Molecule", "--model.energy.topology={class_path: PDB, init_args: {pth: a.pdb}}"],
    ],
    ids=lambda options: " ".join(options)[:60],
)
def test_agrees_with_the_parser(options, tmp_path, monkeypatch, capsys):
    import yaml

    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(SMALL))
    args = ["-c", "x.yaml", *options]
    refused = find_problem(args) is not None
    if refused:
        with pytest.raises(SystemExit):
            CLI(args)
        assert "lit_bg: " in capsys.readouterr().err
    else:
        CLI(args)
