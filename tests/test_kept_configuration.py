"""What a run keeps of its configuration: all that was set, nothing that was not, and names that are found again."""

import copy

import pytest
import yaml
from small_experiment import SMALL

from lit_bg.config.cli import CLI, build
from lit_bg.config.moved import MOVED, name_as_now
from lit_bg.config.portable import leave_out_unset
from lit_bg.data.card import describe
from lit_bg.energies import Energy
from lit_bg.losses import Loss
from lit_bg.losses.pairings import MinibatchOT
from lit_bg.runs.resume import compare_configurations

FLAT = ["forcefield", "nonbonded", "cutoff", "constraints", "system", "coordinates", "implicit_solvent", "defines"]
PDB = {"path": "experiments/alanine_dipeptide.pdb", "forcefield": ["amber96.xml", "implicit/obc1.xml"]}
SPELLINGS = {
    "an object": ({"topology": {"class_path": "PDB", "init_args": PDB}}, set()),
    "flat": ({"topology": PDB["path"], "forcefield": PDB["forcefield"]}, {"forcefield"}),
    "flat, more": (
        {"topology": PDB["path"], "forcefield": PDB["forcefield"], "nonbonded": "NoCutoff"},
        {"forcefield", "nonbonded"},
    ),
}


def read(tmp_path, content):
    file = tmp_path / "kept.yaml"
    file.write_text(yaml.safe_dump(content))
    return CLI(["-c", str(file)])


def of_energy(energy):
    return {**SMALL, "model": {**SMALL["model"], "energy": energy}}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_keys_that_nobody_set_are_left_out(spelling, tmp_path):
    arguments, given = SPELLINGS[spelling]
    cli = read(tmp_path, of_energy({"class_path": "Molecule", "init_args": {**arguments, "temperature": 310.0}}))
    kept = cli.portable_config()
    energy = kept["model"]["energy"]
    assert {key for key in energy["init_args"] if key in FLAT} == given
    assert energy["init_args"]["modes"] is None  # an argument that the class names says its value

    # Read again it is the same configuration, and of the same system, as with every key.
    again = read(tmp_path, kept)
    assert again.portable_config() == kept
    whole = cli.parser_dict(cli.config)
    assert again.parser_dict(again.config)["model"]["energy"] == whole["model"]["energy"]
    assert set(FLAT) <= set(whole["model"]["energy"]["init_args"])
    assert describe(build(Energy, energy)) == describe(build(Energy, whole["model"]["energy"]))

    # A run of before, which kept every key, goes on.
    before = {**kept, "model": {**kept["model"], "energy": whole["model"]["energy"]}}
    compare_configurations(before, kept, "runs/before")
    compare_configurations(kept, before, "runs/after")


class Base:
    def __init__(self, width: float | None = 1.0, depth: int | None = None) -> None: ...


class Inherits(Base):
    def __init__(self, name: str | None = None, **more) -> None:
        super().__init__(**more)


def test_a_null_that_says_something_stays():
    arguments = {"name": None, "width": None, "depth": None}  # width is 1 where it is not given
    found = leave_out_unset({"class_path": f"{__name__}.Inherits", "init_args": arguments})
    assert found["init_args"] == {"name": None, "width": None}
    for path in (f"{__name__}.Base", "no.such.Class", f"{__name__}.read"):
        assert leave_out_unset([{"class_path": path, "init_args": arguments}])[0]["init_args"] == arguments


@pytest.mark.parametrize("name", ["lit_bg.pairings.MinibatchOT", "MinibatchOT"])
def test_a_class_that_has_moved_is_found(name, tmp_path):
    """A run of before its move is read, and goes on: it is the same run by its present name."""
    loss = {"class_path": "FlowMatching", "init_args": {"pairing": {"class_path": name}}}
    cli = read(tmp_path, {**SMALL, "model": {**SMALL["model"], "loss": loss}})
    kept = cli.portable_config()
    pairing = kept["model"]["loss"]["init_args"]["pairing"]
    assert pairing == {"class_path": "lit_bg.losses.pairings.MinibatchOT", "init_args": {"block": 256}}
    assert isinstance(build(Loss, kept["model"]["loss"]).pairing, MinibatchOT)
    assert isinstance(build(Loss, loss).pairing, MinibatchOT)
    before = copy.deepcopy(kept)
    before["model"]["loss"]["init_args"]["pairing"]["class_path"] = "lit_bg.pairings.MinibatchOT"
    compare_configurations(before, kept, "runs/before")
    with pytest.raises(ValueError, match="would be another run"):
        compare_configurations(before, {**kept, "seed_everything": 1}, "runs/before")


def test_names_that_only_begin_alike_stay():
    for path in ("lit_bg.pairings_of_mine.MinibatchOT", "MinibatchOT", "torch.optim.Adam"):
        assert name_as_now([{"class_path": path}]) == [{"class_path": path}]
    assert all(former != present for former, present in MOVED.items())
