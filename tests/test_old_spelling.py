"""Simulations in the spelling of before are refused with the present one, and unknown keys with those that there are."""

import pytest

from lit_bg.config.cli import build
from lit_bg.config.file import refuse_early
from lit_bg.config.old_spelling import find_old_spelling
from lit_bg.simulators import Simulator


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            {"class_path": "Metropolis", "init_args": {"walkers": 20}},
            ["is a move", "kernel: {class_path: Metropolis"],
        ),
        ({"class_path": "HMC"}, ["class_path: Simulation", "walkers, frames, stride, burn_in and start beside"]),
        (
            {"class_path": "lit_bg.samplers.Langevin", "init_args": {"interval": 0.1}},
            ["is a move", "`steps` time steps"],
        ),
        (
            {"class_path": "ReplicaExchange", "init_args": {"max_temperature": 600.0, "time_step": 0.002, "walkers": 3}},
            ["has no max_temperature, time_step", "kernel: {class_path: Langevin", "ladder: {max_temperature, rungs, pilot"],
        ),
    ],
)
def test_how_it_is_written_now(section, words):
    sentence = find_old_spelling(section)
    assert all(word in sentence for word in words)


@pytest.mark.parametrize(
    "section",
    [
        None,
        {"class_path": "Exact", "init_args": {"frames": 3}},
        {"class_path": "Simulation", "init_args": {"kernel": {"class_path": "Metropolis"}, "walkers": 3}},
        {"class_path": "ReplicaExchange", "init_args": {"kernel": {"class_path": "Langevin"}, "ladder": {"rungs": 3}}},
        {"class_path": "my_moves.Metropolis", "init_args": {"frames": 3}},
        {"class_path": 3, "init_args": [1]},
    ],
)
def test_what_is_not_old_is_let_pass(section):
    assert find_old_spelling(section) is None


def test_it_is_said_before_anything_is_built(tmp_path, capsys):
    file = tmp_path / "x.yaml"
    file.write_text("simulate: {class_path: MALA, init_args: {walkers: 3}}\n")
    with pytest.raises(SystemExit) as stop:
        refuse_early(["-c", str(file)])
    assert stop.value.code == 2
    assert "simulate: MALA is a move" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"class_path": "Simulation", "init_args": {"kernel": {"class_path": "Metropolis", "init_args": {"walkers": 4}}}},
            "unknown key 'walkers'; Metropolis takes step_size, target_acceptance",
        ),
        (
            {"class_path": "Simulation", "init_args": {"kernel": {"class_path": "MALA"}, "time_step": 4}},
            "unknown key 'time_step'; Simulation takes kernel, frames, walkers, stride, burn_in, start",
        ),
        (
            {"class_path": "ReplicaExchange", "init_args": {"kernel": {"class_path": "Langevin"}, "ladder": {"max": 4}}},
            "unknown key 'max'; ladder takes max_temperature, rungs, pilot, temperatures, also",
        ),
    ],
)
def test_unknown_keys_are_refused_with_those_that_there_are(config, message):
    with pytest.raises(ValueError, match=message):
        build(Simulator, config)


def test_kernels_are_named_by_their_short_names():
    cycle = {"class_path": "Cycle", "init_args": {"kernels": [{"class_path": "MALA"}, {"class_path": "Langevin"}]}}
    simulation = build(Simulator, {"class_path": "Simulation", "init_args": {"kernel": cycle}})
    assert [type(kernel).__name__ for kernel in simulation.kernel.kernels] == ["MALA", "Langevin"]
