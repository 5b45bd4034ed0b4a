"""The YAML of a sweep means here what it means to W&B."""

import importlib.util
import json
from pathlib import Path

import pytest
import yaml
from snippets import ROOT

from lit_bg.sweeps import Choice, Range, Sweep
from lit_bg.sweeps.definition import Halving
from lit_bg.sweeps.parameter import read_parameter

FILES = sorted((ROOT / "experiments/sweeps").glob("*.yaml"))
BASE = {
    "method": "random",
    "metric": {"name": "val/ess", "goal": "maximize"},
    "program": "a.py",
    "parameters": {"x": {"value": 1}},
}


def of(**changes):
    return Sweep.of(BASE | changes, "mine")


@pytest.fixture(scope="module")
def schema():
    """W&B's own schema of a sweep, from its package `sweeps`."""
    jsonschema = pytest.importorskip("jsonschema")
    package = importlib.util.find_spec("sweeps")
    if package is None:
        pytest.skip("W&B's package `sweeps` is not installed")
    text = Path(package.submodule_search_locations[0], "config/schema.json").read_text()
    return jsonschema.Draft7Validator(json.loads(text))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
class TestShippedSweep:
    def test_keeps_the_schema_of_wandb(self, file, schema):
        content = yaml.safe_load(file.read_text())
        assert [error.message for error in schema.iter_errors(content)] == []
        assert list(schema.iter_errors(content | {"method": "best"}))  # the schema can refuse

    def test_runs_what_the_agent_runs(self, file, monkeypatch):
        """Word by word, but for the interpreter; and the command line of the program takes it."""
        from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

        from lit_bg.config.cli import CLI

        sweep = Sweep.read(str(file))
        values = {name: p.values[-1] if isinstance(p, Choice) else p.low for name, p in sweep.parameters.items()}
        macros = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
        macros |= {"interpreter": ["python"], "program": [sweep.program], "env": ["/usr/bin/env"]}
        theirs = []
        for word in create_sweep_command(list(sweep.command)):
            theirs += macros[word[2:-1]] if word.startswith("${") else [word]
        ours = sweep.command_of(values)
        assert ours[1] != "python"
        assert Path(ours[1]).is_absolute()
        assert [ours[0], "python", *ours[2:]] == theirs
        monkeypatch.chdir(ROOT)
        assert ours[2:4] == ["-m", "lit_bg.fit"]
        config = CLI(ours[4:]).config
        for name, value in values.items():
            assert config[name] == value

    def test_its_metric_is_one_that_a_run_logs(self, file):
        """As the modes of the system are named."""
        from lit_bg.runs.system import load_system

        sweep = Sweep.read(str(file))
        energy = load_system(str(ROOT / sweep.command[sweep.command.index("-c") + 1])).energy
        stage, kind, mode = sweep.metric.split("/")
        assert (stage, kind) == ("test", "effective")
        assert mode in energy.modes.names


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"value": [16, 16]}, Choice(([16, 16],))),
        ({"values": ["a", None, True]}, Choice(("a", None, True))),
        ({"min": 1, "max": 4}, Range(1, 4, integer=True)),
        ({"min": 1, "max": 4.5}, Range(1, 4.5)),
        ({"min": 1, "max": 4, "distribution": "uniform"}, Range(1, 4)),
        ({"min": 1, "max": 9, "distribution": "q_uniform", "q": 2}, Range(1, 9, integer=True, step=2)),
        ({"min": 0.5, "max": 2.0, "distribution": "q_uniform", "q": 0.5}, Range(0.5, 2.0, step=0.5)),
        ({"min": 1, "max": 100, "distribution": "q_log_uniform_values"}, Range(1, 100, integer=True, log=True, step=1)),
    ],
)
def test_a_parameter_is_read_as_wandb_reads_it(spec, expected, schema):
    assert read_parameter("x", spec) == expected
    parameter = schema.evolve(schema=schema.schema) if hasattr(schema, "evolve") else schema
    assert [e.message for e in parameter.iter_errors({"method": "random", "parameters": {"x": spec}})] == []


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"min": "1e-3", "max": 1}, "write 1.0e-3"),
        ({"min": 2, "max": 2}, "min 2 must be below max 2"),
        ({"min": 0.0, "max": 2, "distribution": "log_uniform_values"}, "positive min, got 0.0"),
        ({"min": True, "max": 2}, "must be a number, got True"),
        ({"distribution": "normal", "mu": 0.0}, "no distribution 'normal'"),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, "'probabilities', which only W&B reads"),
        ({"parameters": {"y": {"value": 1}}}, "write them flat, such as x.NAME"),
        ({"min": 1, "max": 8, "distribution": "q_log_uniform_values", "q": 2}, "list its values"),
        ({"min": 1.5, "max": 8, "distribution": "int_uniform"}, "whole numbers"),
        ({"min": 1, "max": 8, "distribution": "q_uniform", "q": 0}, "q must be positive"),
        ({"values": []}, "at least one value"),
        ({"max": 1}, "min and max"),
        (3, "must hold value"),
    ],
)
def test_a_parameter_that_cannot_be_drawn_is_refused(spec, sentence):
    with pytest.raises(ValueError, match=r"^parameters\.x.*") as caught:
        read_parameter("x", spec)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"parameters": {}}, "is no sweep"),
        ({"methode": "grid"}, "did you mean 'method'"),
        ({"method": "best"}, "method must be one of"),
        ({"metric": {"goal": "minimize"}}, "metric must hold the name"),
        ({"metric": {"name": "a", "goal": "max"}}, "goal must be minimize or maximize"),
        ({"run_cap": 0}, "run_cap"),
        ({"program": ""}, "needs a command"),
        ({"command": ["python", "a.py"]}, "no ${args}"),
        ({"method": "grid", "parameters": {"x": {"min": 0.0, "max": 1.0}}}, "grid needs values of parameters.x"),
        ({"method": "grid", "parameters": {"x": {"min": 0, "max": 10**6}}}, "has 1000001 points"),
        ({"early_terminate": {"type": "envelope"}}, "type: hyperband"),
        ({"early_terminate": {"type": "hyperband"}}, "needs min_iter"),
    ],
)
def test_a_sweep_that_cannot_be_run_is_refused(changes, sentence):
    with pytest.raises(ValueError) as caught:
        of(**changes)
    assert sentence in str(caught.value)


def test_a_grid_is_every_combination():
    parameters = {
        "a": {"values": ["x", "y"]},
        "b": {"min": 1, "max": 3},
        "c": {"min": 0.0, "max": 0.3, "distribution": "q_uniform", "q": 0.1},
    }
    grid = of(method="grid", parameters=parameters).grid()
    assert len(grid) == 2 * 3 * 4
    assert [point["b"] for point in grid[::4]] == [1, 2, 3] * 2
    assert [point["c"] for point in grid[:4]] == pytest.approx([0.0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (None, None),
        ({"type": "hyperband", "min_iter": 2}, Halving(2, 3)),
        ({"type": "hyperband", "max_iter": 27, "s": 2}, Halving(3, 3)),
        ({"type": "hyperband", "max_iter": 4, "s": 9, "eta": 2}, Halving(1, 2)),
    ],
)
def test_hyperband_begins_where_wandb_begins(section, expected):
    assert of(early_terminate=section).halving == expected


def test_an_unknown_macro_is_refused():
    with pytest.raises(ValueError, match=r"\$\{args_append_hydra\}, known are .*\$\{args\}"):
        of(command=["a", "${args_append_hydra}"]).command_of({})
