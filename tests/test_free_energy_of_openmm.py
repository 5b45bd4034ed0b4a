"""python -m lit_bg.free_energy --openmm on what OpenMM's own sampler wrote: exact answers, and files that are damaged."""

import json
import logging
import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from openmm import unit
from springs_in_openmm import exact, run_openmm

from lit_bg import free_energy
from lit_bg.data.openmm_exchange import read_openmm_exchange
from lit_bg.diagnostics.exchange import mixing
from lit_bg.free_energy import OF_EXCHANGE, RESULTS
from lit_bg.report.free_energy_numbers import ExchangeFreeEnergies

KELVIN = (300, 380, 480, 600)
STIFFER = (0.0, 0.5, 1.5)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Replica exchange of temperatures, of force constants, and without energies."""
    folder = tmp_path_factory.mktemp("openmm")
    random.seed(0)
    run_openmm(folder / "kelvin", [{"temperature": t * unit.kelvin} for t in KELVIN], 400)
    run_openmm(folder / "springs", [{"lambda": x} for x in STIFFER], 300)
    run_openmm(folder / "silent", [{"lambda": x} for x in STIFFER], 2, energy=False)
    return folder


@pytest.fixture
def inside(written, tmp_path, monkeypatch, empty_figures):
    monkeypatch.chdir(tmp_path)
    for name in ("kelvin", "springs", "silent"):
        shutil.copytree(written / name, name)


def complaint(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        free_energy.main([str(a) for a in args])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0].removeprefix("lit_bg: ")


def run(folder, *arguments):
    free_energy.main(["--openmm", folder, *map(str, arguments)])
    text = Path(folder, "free_energy/free_energy.json").read_text()
    assert ExchangeFreeEnergies.from_json(text).to_json() == text
    return json.loads(text)


def test_all_figures_are_drawn(written, tmp_path):
    free_energy.main(["--openmm", str(written / "kelvin"), "--temperatures", *map(str, KELVIN), "--out", str(tmp_path)])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted((*RESULTS, *OF_EXCHANGE))
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in tmp_path.glob("*.png"))


def test_temperatures(inside, capsys):
    numbers = run("kelvin", "--temperatures", *KELVIN)
    for row, kelvin in zip(numbers["MBAR"]["states"], KELVIN, strict=True):
        error = max(row["kT"]["analytic"], row["kT"]["bootstrap"])
        assert abs(row["kT"]["value"] - exact(kelvin)) <= 4 * error
        assert error < 0.1
        assert row["state"] == f"{kelvin} K"
        assert "kJ/mol" not in row
    said = capsys.readouterr().out
    assert "Overlap is enough, least between" in said
    assert "round trips" in said
    assert numbers["MBAR"]["verdict"] == "trust"
    assert not any("Reduced energies" in note for note in numbers["notes"])
    transitions = torch.tensor(numbers["exchange"]["transitions"])
    torch.testing.assert_close(transitions.sum(1), torch.ones(4))
    assert numbers["exchange"]["states_visited"] == [4] * 4


def test_alchemlyb_finds_the_same(inside):
    logging.disable(logging.WARNING)
    parquet = pytest.importorskip("alchemlyb.parsing.parquet")
    from alchemlyb.estimators import MBAR

    numbers = run("kelvin", "--temperatures", *KELVIN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        u_nk = parquet.extract_u_nk("kelvin/free_energy/u_nk.parquet", T=300)
        theirs = MBAR().fit(u_nk)
        with pytest.raises(ValueError, match="doesn't match the temperature"):
            parquet.extract_u_nk("kelvin/free_energy/u_nk.parquet", T=310)
    logging.disable(logging.NOTSET)
    ours = numbers["MBAR"]["states"]
    np.testing.assert_allclose(theirs.delta_f_.to_numpy()[0], [row["kT"]["value"] for row in ours], atol=1e-6)
    np.testing.assert_allclose(theirs.d_delta_f_.to_numpy()[0], [row["kT"]["analytic"] for row in ours], rtol=1e-3, atol=1e-12)


def test_other_states_at_one_temperature_have_every_unit(inside):
    numbers = run("springs", "--temperatures", 300, "--units", "kcal/mol")
    rows = numbers["MBAR"]["states"]
    for row, stiffer in zip(rows, STIFFER, strict=True):
        assert abs(row["kT"]["value"] - exact(300, stiffer)) <= 4 * max(row["kT"]["analytic"], row["kT"]["bootstrap"])
    last = rows[-1]
    assert last["kJ/mol"]["value"] == pytest.approx(last["kT"]["value"] * 2.494339, rel=1e-6)
    assert last["kJ/mol"]["value"] / last["kcal/mol"]["value"] == pytest.approx(4.184)


def test_temperatures_of_another_folder_are_noticed(inside):
    notes = run("kelvin", "--temperatures", 300, 310, 320, 330)["notes"]
    assert any("either the states differ in more than temperature, or --temperatures are not those" in note for note in notes)


def test_too_little_overlap_is_said(inside, capsys):
    """The energies of two distant states: every second temperature is missing, and stiffer by far."""
    u = np.loadtxt("springs/energy.csv", delimiter=",").reshape(-1, 3, 3)
    state = np.loadtxt("springs/log.csv", delimiter=",", skiprows=1, dtype=int)[:, 2:]
    u = np.where(state[:, :, None] == np.arange(3), u, u + 12)  # foreign states are 12 kT less likely
    np.savetxt("springs/energy.csv", u.reshape(len(u), -1), delimiter=",")
    numbers = run("springs", "--temperatures", 300)
    assert numbers["MBAR"]["verdict"] == "do not trust"
    assert "Too little overlap between" in capsys.readouterr().out


def test_a_line_that_was_cut_off_is_left_out(inside):
    text = Path("kelvin/energy.csv").read_text()
    Path("kelvin/energy.csv").write_text(text[: len(text) - 40])
    log = read_openmm_exchange("kelvin")
    assert len(log.u) == 399
    assert log.cut == 1
    numbers = run("kelvin", "--temperatures", *KELVIN)
    assert "1 records are in one of the two files only, and were left out." in numbers["notes"]


def test_energies_by_state_are_those_of_the_replica_in_it(inside):
    log = read_openmm_exchange("kelvin")
    by_state = log.by_state()
    for t in (0, 17, 399):
        for replica, state in enumerate(log.state[t].tolist()):
            assert torch.equal(by_state[t, state], log.u[t, replica])
    assert by_state.diagonal(dim1=1, dim2=2).mean(0).tolist() == pytest.approx([6.0] * 4, abs=0.5)  # 12 halves of kT


def no_permutation():
    lines = Path("kelvin/log.csv").read_text().splitlines()
    lines[5] = ",".join(lines[5].split(",")[:2] + ["1"] * 4)
    Path("kelvin/log.csv").write_text("\n".join(lines))


def exploded():
    text = Path("kelvin/energy.csv").read_text()
    Path("kelvin/energy.csv").write_text("nan," * 15 + "nan\n" + text)


def one_record():
    for name, lines in (("log.csv", 2), ("energy.csv", 1)):
        path = Path("kelvin", name)
        path.write_text("\n".join(path.read_text().splitlines()[:lines]))


@pytest.mark.parametrize(
    ("damage", "arguments", "words"),
    [
        (lambda: None, ["nowhere"], "'nowhere' has no log.csv: give the folder of OpenMM's ReplicaExchangeReporter."),
        (lambda: None, ["silent"], "'silent' has no energy.csv"),
        (lambda: shutil.copy("springs/energy.csv", "kelvin"), ["kelvin"], "line 0 of 'kelvin/energy.csv' has 9 numbers"),
        (no_permutation, ["kelvin"], "record 4 of 'kelvin/log.csv' has the states [1, 1, 1, 1]"),
        (exploded, ["kelvin"], "record 0 of 'kelvin/energy.csv' has energies that are not finite"),
        (one_record, ["kelvin"], "1 record of replica exchange shows no step"),
        (lambda: Path("kelvin/log.csv").write_text(""), ["kelvin"], "'kelvin/log.csv' is empty."),
        (lambda: Path("kelvin/log.csv").write_text("a,b\n1,2\n"), ["kelvin"], "'kelvin/log.csv' is no log of"),
        (
            lambda: Path("kelvin/energy.csv").write_text("x," * 15 + "x\n"),
            ["kelvin"],
            "'kelvin/energy.csv' holds what is no number",
        ),
        (lambda: None, ["kelvin", 300, 310], "'kelvin' holds 4 states and --temperatures gives 2"),
        (lambda: None, ["kelvin", 300, 310, -5, 400], "--openmm needs --temperatures"),
    ],
)
def test_refusals(inside, damage, arguments, words, capsys):
    damage()
    folder, *kelvin = arguments
    said = complaint(capsys, "--openmm", folder, "--temperatures", *(kelvin or [300]))
    assert said.startswith(words)
    assert not Path(folder, "free_energy").exists()


def test_temperatures_and_units_that_are_missing(inside, capsys):
    assert complaint(capsys, "--openmm", "kelvin").startswith("--openmm needs --temperatures, one per state or one for all [K]")
    said = complaint(capsys, "--openmm", "kelvin", "--temperatures", *KELVIN, "--units", "kJ/mol")
    assert said.startswith("there is no free energy in kJ/mol without one temperature")
    said = complaint(capsys, "--openmm", "kelvin", "--temperatures", *KELVIN, "--data", "x")
    assert said.startswith("--data belongs to runs")


def test_mixing_of_replicas():
    m = mixing(torch.tensor([[0, 1, 2], [1, 0, 2], [2, 0, 1], [2, 1, 0], [1, 2, 0], [0, 2, 1]]))
    assert m.round_trips == 1  # of the first replica
    assert m.visited.tolist() == [3, 3, 3]
    assert m.transitions.sum(1).tolist() == pytest.approx([1.0] * 3)
    stuck = mixing(torch.tensor([[0, 1]] * 5))
    assert (stuck.round_trips, stuck.relaxation) == (0, float("inf"))
    half = mixing(torch.tensor([[0, 1], [1, 0], [1, 0], [0, 1], [0, 1]]))  # two of four steps exchange: no memory
    assert half.relaxation == pytest.approx(1.0)
