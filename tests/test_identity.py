"""What tells one target from another, in data cards, checkpoints and unfinished simulations."""

import copy
import functools
import json
import math
import os
import pickle
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openmm
import pytest
import torch
from openmm import app

from lit_bg import module
from lit_bg.config.cli import build
from lit_bg.data.card import compare_target
from lit_bg.energies import DoubleWell, Energy, Gaussian, GaussianMixture, Molecule, Tempered
from lit_bg.energies.trial import try_energy
from lit_bg.files import release
from lit_bg.identity import canonical, compare, identify
from lit_bg.molecules.topologies import CHARMM, GROMACS, PDB, Amber, OpenMMObjects, SerializedSystem
from lit_bg.simulators.recorder import Recorder
from lit_bg.spaces import Vectors

ALA2 = "experiments/alanine_dipeptide.pdb"
FF = ["amber96.xml", "implicit/obc1.xml"]
DATA = "tests/molecules/data/ala2"


def differ(one, other, exact=False):
    """In which way the second is another target than the first; it is the same in both directions whether it is one."""
    a, b = (identify(item) if isinstance(item, (Energy, PDB, GROMACS, Amber, CHARMM)) else item for item in (one, other))
    there = compare(a, b, exact)
    assert (there.difference is None) == (compare(b, a, exact).difference is None)
    assert there.unknown == ()
    return there.difference


def card_of(energy):
    return {"energy": json.loads(json.dumps(identify(energy))), "kT": energy.kT, "unit": energy.unit}


def square(x):
    return x.square()


class Shape(Enum):
    ROUND = 1


@dataclass
class Wall:
    height: float
    shape: Shape = Shape.ROUND


class Made(Energy):
    """A class of a user, who does nothing for its identity."""

    space = Vectors(2)

    def __init__(self, of=None, *more, kT=1.0, **named):
        super().__init__(kT)
        self.hidden = of if isinstance(of, torch.nn.Module) else None

    def potential(self, x):
        return x.square().sum(-1)


MEANS = {"means": [[0.0, 0.2]]}


class TestArguments:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (lambda: DoubleWell(), lambda: DoubleWell(2, 1, 6.0, k=1.0)),
            (lambda: DoubleWell(kT=2.0), lambda: DoubleWell().at(3.0)),
            (lambda: Gaussian(2, loc=[1, 0]), lambda: Gaussian(2, loc=(1.0, 0.0))),
            (lambda: GaussianMixture([[0, 0.2]]), lambda: build(Energy, {"class_path": "GaussianMixture", "init_args": MEANS})),
            (lambda: Tempered(DoubleWell(), 0.5, 2), lambda: Tempered(DoubleWell(kT=0.6), 0.5, 2.0).at(1.5)),
            (lambda: Made(torch.tensor([0.1, 0.7])), lambda: Made(np.array([0.1, 0.7]))),
            (lambda: Made(torch.arange(3000.0) / 7), lambda: Made((np.arange(3000.0) / 7).tolist())),
            (lambda: Made({"a": 1, "b": 2}), lambda: Made({"b": 2.0, "a": 1.0})),
            (lambda: Made(math.inf), lambda: Made(torch.tensor(math.inf))),
            (lambda: Made(torch.nn.Linear(1, 1, bias=False)), None),
        ],
    )  # fmt: skip
    def test_two_spellings_of_one_target(self, one, other):
        first = one()
        second = copy.deepcopy(first) if other is None else other()
        assert differ(first, second) is None
        assert json.loads(json.dumps(identify(first), allow_nan=False)) == identify(first)

    @pytest.mark.parametrize(
        ("one", "other", "sentence"),
        [
            (DoubleWell(), DoubleWell(a1=0.5), "a1 = 1.0, not 0.5"),
            (DoubleWell(), Gaussian(), "the target = DoubleWell, not Gaussian"),
            (Tempered(DoubleWell(), 0.5, 2.0), Tempered(DoubleWell(a1=0.5), 0.5, 2.0), "energy.a1 = 1.0, not 0.5"),
            (Made(DoubleWell()), Made(DoubleWell(kT=0.5)), "of.kT = 1.0, not 0.5"),
            (Made(DoubleWell()), Made(Gaussian()), "of = DoubleWell, not Gaussian"),
            (Made(torch.ones(3)), Made(torch.ones(4)), r"of = [1.0, 1.0, 1.0], not [1.0, 1.0, 1.0, 1.0]"),
            (Made(torch.ones(3000)), Made(torch.ones(3000) * 1.001), "another content of of"),
            (Made(torch.nn.Linear(2, 2)), Made(torch.nn.Linear(2, 2)), "another content of of"),
            (Made(Wall(1.0)), Made(Wall(2.0)), "of.fields.height = 1.0, not 2.0"),
            (Made(square), Made(math.sqrt), f"of.function = {__name__}.square, not math.sqrt"),
            (Made(torch.sin), Made(np.sin), "of.function = torch.sin, not numpy.sin"),
            (Made(functools.partial(square, 1)), Made(functools.partial(square, 2)), "of.arguments = [1], not [2]"),
            (Made(1, 2), Made(1, 3), "more = [2], not [3]"),
            (Made(), Made(a=1.0), "named.a = None, not 1.0"),
            (Made(Shape), Made(Shape.ROUND), None),
        ],
    )
    def test_another_target(self, one, other, sentence):
        found = differ(other, one)
        assert found == sentence if sentence else found is not None

    def test_numbers_are_one_within_rounding_and_exact_where_that_is_asked_for(self):
        one, other = DoubleWell(a1=0.1), DoubleWell(a1=torch.tensor(0.1))
        assert differ(one, other) is None
        assert "a1 = " in differ(one, other, exact=True)
        assert differ(DoubleWell(a1=3), DoubleWell(a1=3.0), exact=True) is None

    def test_keywords_that_go_on_to_the_parent_have_its_defaults(self):
        class Steep(DoubleWell):
            def __init__(self, steepness=1.0, **others):
                super().__init__(a4=steepness, **others)

        class Steeper(Steep):
            def __init__(self, **others):
                super().__init__(**others)

        assert differ(Steep(), Steep(1, k=1, kT=3.0)) is None
        assert differ(Steeper(), Steeper(steepness=1.0, dim=2)) is None
        assert differ(Steep(), Steep(k=2.0)) == "others.k = 2.0, not 1.0"

    def test_classes_that_construct_themselves_in_other_ways(self):
        @dataclass(eq=False)
        class Fields(Energy):
            a: float
            b: str = "x"
            space = Vectors(2)

            def __post_init__(self):
                super().__init__()

            def potential(self, x):
                return self.a * x.sum(-1)

        class Adds:
            def __init__(self, offset, *args):
                super().__init__(*args)

        class Mixed(Adds, DoubleWell):
            pass

        assert identify(Fields(3))["parameters"] == {"a": 3, "b": "x"}
        assert differ(Mixed(1.0, 2), Mixed(2.0, 2)) is not None
        assert identify(DoubleWell.__new__(DoubleWell, 3))["parameters"]["dim"] == 3

    def test_copies_know_it(self):
        energy = Tempered(DoubleWell(3), 0.5, 2.0)
        for twin in (copy.deepcopy(energy), copy.copy(energy), pickle.loads(pickle.dumps(energy))):
            assert identify(twin) == identify(energy)

    def test_incidental_arguments_of_all_parents_are_left_out(self):
        class Fast(DoubleWell):
            incidental = ("threads",)

            def __init__(self, threads=1, kT=1.0):
                super().__init__(kT=kT)

        assert differ(Fast(2, kT=3.0), Fast()) is None

    def test_classes_of_one_name_are_told_apart_by_their_package_and_scripts_are_not(self):
        mine = identify(DoubleWell())
        for package, difference in (("else", "the target = else.DoubleWell, not lit_bg.DoubleWell"), ("__main__", None)):
            assert compare(mine, mine | {"package": package}).difference == difference

    @pytest.mark.parametrize(
        ("of", "reason"),
        [
            (lambda x: x, "a lambda"),
            (functools.partial, None),
            (SimpleNamespace(), "an object of SimpleNamespace"),
            (DoubleWell().potential, "an object of method"),
            (torch.ones(2) * 1j, "an array of complex64"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_recorded_is_said_and_stops_nobody(self, of, reason):
        def local(x):
            return x

        energy, other = Made(of), Made(local)
        if reason is None:  # a class of a library
            assert differ(energy, Made(of)) is None
            return
        assert compare(identify(energy), identify(other)) == (None, (f"of: {reason}",))
        assert compare(identify(other), identify(other)).doubt == "of: the local function local"

    def test_a_class_that_hides_its_arguments(self):
        class Hides(DoubleWell):
            def __new__(cls, *args):
                return super().__new__(cls)

            def __init__(self, dim):
                super().__init__(dim)

        with pytest.raises(TypeError, match="Hides does not know what it was built from: its __new__ must end with"):
            try_energy(Hides(2))  # before anything expensive begins

    def test_a_class_without_a_constructor_takes_nothing(self):
        class Plain(PDB):
            __init__ = object.__init__

        with pytest.raises(TypeError, match=r"Plain\(\) takes no arguments"):
            Plain(1)

    def test_signatures_are_those_of_the_constructors(self):
        import inspect

        assert list(inspect.signature(DoubleWell).parameters) == ["dim", "a4", "a2", "a1", "k", "kT"]
        with pytest.raises(TypeError, match="unexpected keyword argument 'a9'"):
            DoubleWell(a9=1)


class TestFiles:
    def test_the_name_and_the_place_of_a_file_do_not_matter_and_its_content_does(self, tmp_path):
        moved = shutil.copyfile(ALA2, tmp_path / "other.pdb")
        here = PDB(ALA2, FF)
        for path in (moved, Path(ALA2).resolve(), os.path.relpath(ALA2), "./" + ALA2):
            assert differ(here, PDB(str(path), FF), exact=True) is None
        moved.write_text(moved.read_text() + "REMARK\n")
        assert differ(here, PDB(str(moved), FF)) == "path = other.pdb, not alanine_dipeptide.pdb"
        named = shutil.copyfile(moved, tmp_path / "alanine_dipeptide.pdb")
        assert differ(here, PDB(str(named), FF)) == "another content of path = alanine_dipeptide.pdb"

    def test_no_path_of_this_machine(self):
        text = json.dumps(identify(PDB(str(Path(ALA2).resolve()), FF))) + json.dumps(identify(Made("/nowhere/at/all.csv")))
        assert "alanine_dipeptide.pdb" in text
        assert "all.csv" in text
        assert str(Path(ALA2).resolve().parent) not in text
        assert "nowhere" not in text

    def test_a_word_is_no_file_though_one_bears_its_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("left").write_text("x")
        assert canonical("left") == "left"
        assert canonical("x" * 5000) == "x" * 5000
        assert canonical(Path("left"))["file"] == "left"

    def test_files_of_openmm_are_known_by_name_and_others_by_content_with_what_they_include(self, tmp_path):
        own = Path(app.__file__).parent / "data" / "amber96.xml"
        assert differ(PDB(ALA2, FF), PDB(ALA2, [str(own), FF[1]])) is None
        inner, outer = tmp_path / "inner.xml", tmp_path / "outer.xml"
        inner.write_text("<ForceField/>")
        outer.write_text('<ForceField>\n <Include file="inner.xml"/>\n <Include file="amber96.xml"/></ForceField>')
        before = identify(PDB(ALA2, [str(outer)]))
        assert differ(PDB(ALA2, [str(outer)]), before) is None
        inner.write_text("<ForceField><AtomTypes/></ForceField>")
        assert differ(PDB(ALA2, [str(outer)]), before) == "another value of forcefield"

    def test_what_a_topology_of_gromacs_includes(self, tmp_path):
        (tmp_path / "ff").mkdir()
        head, tail = Path(f"{DATA}.top").read_text().split("[ moleculetype ]")
        (tmp_path / "ff" / "a.itp").write_text(head)
        top = tmp_path / "split.top"
        top.write_text('#include "a.itp"\n[ moleculetype ]' + tail)
        made = functools.partial(GROMACS, str(top), f"{DATA}.gro", str(tmp_path / "ff"))
        before = identify(made())
        assert differ(made({}), before) is None
        (tmp_path / "ff" / "a.itp").write_text(head + "; changed\n")
        assert differ(made(), before) == "another content of path = split.top"

    def test_a_file_that_changes_between_topology_and_molecule(self, tmp_path):
        file = shutil.copyfile(ALA2, tmp_path / "a.pdb")
        topology = PDB(str(file), FF)
        file.write_text(file.read_text() + "REMARK\n")
        molecule = Molecule(topology)
        file.unlink()
        assert differ(molecule, Molecule(PDB(ALA2, FF))) is not None


class TestMolecule:
    def test_spellings_of_one_molecule(self):
        plain = Molecule(PDB(ALA2, FF))
        for other in (
            Molecule(ALA2, forcefield=FF, temperature=400, modes="basins", compile=False, nonbonded="NoCutoff", cutoff=3.0),
            Molecule(Path(ALA2).resolve(), forcefield=FF),
            Molecule(PDB(ALA2, FF, coordinates=ALA2)).at(2.0),
            build(Energy, {"class_path": "Molecule", "init_args": {"topology": ALA2, "forcefield": FF}}),
        ):
            assert differ(plain, other, exact=True) is None

    def test_other_molecules(self):
        cut = PDB(ALA2, FF, nonbonded="CutoffNonPeriodic", cutoff=2.0)
        assert compare(identify(cut), identify(PDB(ALA2, FF))).difference == "nonbonded = NoCutoff, not CutoffNonPeriodic"
        assert differ(cut, PDB(ALA2, FF, nonbonded="CutoffNonPeriodic", cutoff=2.5)) == "cutoff = 2.5, not 2.0"
        assert differ(PDB(ALA2, FF), PDB(ALA2, FF[:1])) == f"forcefield = {FF[:1]}, not {FF}"
        amber = Amber(f"{DATA}.prmtop", f"{DATA}.rst7")
        assert differ(amber, PDB(ALA2, FF)) == "the target = PDB, not Amber"
        assert differ(amber, Amber(f"{DATA}.prmtop", f"{DATA}.rst7", implicit_solvent="OBC1")) is not None
        assert differ(amber, Amber(f"{DATA}.prmtop", f"{DATA}.gro")) == "coordinates = ala2.gro, not ala2.rst7"
        charmm = CHARMM(f"{DATA}.psf", f"{DATA}.crd", [f"{DATA}.prm"])
        assert differ(charmm, CHARMM(f"{DATA}.psf", f"{DATA}.crd", [str(Path(f"{DATA}.prm").resolve())])) is None

    def test_systems_are_known_by_what_is_in_them(self, tmp_path):
        read = app.PDBFile(ALA2)
        system = app.ForceField(*FF).createSystem(read.topology)
        (tmp_path / "s.xml").write_text(openmm.XmlSerializer.serialize(system))
        same = [identify(SerializedSystem(str(tmp_path / "s.xml"), atoms)) for atoms in (ALA2, PDB(ALA2, cutoff=2.0))]
        assert differ(*same) is None
        one, other = (identify(OpenMMObjects(system, source)) for source in (read, ALA2))
        assert differ(one, other) is None
        system.getForce(0).setBondParameters(0, 0, 1, 0.2, 1000.0)
        assert differ(identify(OpenMMObjects(system, ALA2)), one) == "another content of system"

    def test_a_subclass_with_a_constructor_of_its_own(self):
        class Held(Molecule):
            def __init__(self, k: float, **options):
                super().__init__(**options)

        one, same = Held(1.0, topology=ALA2, forcefield=FF), Held(k=1, topology=PDB(ALA2, FF), temperature=500.0)
        assert differ(one, same) is None
        assert differ(one, Held(2.0, topology=ALA2, forcefield=FF)) == "k = 2.0, not 1.0"
        assert "forcefield = " in differ(one, Held(1.0, topology=ALA2, forcefield=FF[:1]))


class TestWhereItCounts:
    def test_data_of_a_file_that_was_changed(self, tmp_path):
        file = shutil.copyfile(ALA2, tmp_path / "a.pdb")
        card = card_of(Molecule(PDB(str(file), FF)))
        assert compare_target(card, Molecule(PDB(ALA2, FF))) == (None, ())
        file.write_text(file.read_text() + "REMARK\n")
        found = compare_target(card, Molecule(PDB(str(file), FF)))
        assert found.difference == "for another content of topology.path = a.pdb"

    def test_an_unfinished_simulation_of_another_target(self, tmp_path):
        def recorder(energy, **more):
            return Recorder(tmp_path / "x.partial", {"energy": identify(energy)}, **more)

        begun = recorder(DoubleWell())
        begun.write(0, 2, {"x": torch.zeros(1, 3)})
        begun.save({"x": torch.zeros(3)})
        release(begun.folder)
        assert recorder(DoubleWell(a2=6)).written == 1
        release(begun.folder)
        with pytest.raises(ValueError, match=r"simulation with energy.a2 = 6.0, not 5.0: finish it"):
            recorder(DoubleWell(a2=5.0))
        release(begun.folder)
        before = {"energy": {"class": "DoubleWell", "parameters": {"dim": 2}}}
        (begun.folder / "identity.json").write_text(json.dumps(before))
        with pytest.warns(UserWarning, match=r"does not say all that is simulated there \(energy.a4: not written by an ea"):
            assert recorder(DoubleWell()).written == 1
        release(begun.folder)

    def test_a_checkpoint_of_another_target(self, tmp_path):
        def model(energy):
            return SimpleNamespace(energy=energy, generator=torch.nn.Linear(2, 2))

        check = module.BoltzmannGenerator.check_checkpoint
        before = model(DoubleWell())
        content = {"model": module.describe_model(before), "target": identify(before.energy)}
        torch.save(content, tmp_path / "c.ckpt")
        content = torch.load(tmp_path / "c.ckpt", weights_only=True)
        check(before, content)
        with pytest.raises(ValueError, match=r"the checkpoint is of a DoubleWell with a1 = 1.0, not 0.5: resume with") as error:
            check(model(DoubleWell(a1=0.5)), content)
        assert "\n" not in str(error.value)
        del content["target"]
        with pytest.warns(UserWarning, match=r"from another \(the target: written by an earlier version\); class"):
            check(before, content)


class TestCardsOfBefore:
    """What cards said when attributes of the object were written down."""

    def test_of_a_model(self):
        parameters = identify(DoubleWell())["parameters"]
        card = {"energy": {"class": "DoubleWell", "parameters": parameters}, "kT": 1.0, "unit": "kT"}
        assert compare_target(card, DoubleWell()) == (None, ())
        assert compare_target(card, DoubleWell(a1=0.5)).difference == "for a1 = 1.0, not 0.5"
        assert compare_target(card, DoubleWell(kT=2.0)).difference == "at kT = 1 kT, not 2"
        assert compare_target(card, Gaussian()).difference == "of DoubleWell, not Gaussian"

    def test_of_a_system_inside_another(self):
        inner = {"class": "DoubleWell", "parameters": {"dim": 2, "a1": 1.0}, "kT": 1.0}
        old = {"class": "Tempered", "parameters": {"energy": inner, "lowest": 0.5, "highest": 2.0}}
        card = {"energy": old, "kT": 1.0, "unit": "kT"}
        assert compare_target(card, Tempered(DoubleWell(a1=2.0), 0.5, 2.0)).difference == "for energy.a1 = 1.0, not 2.0"

    def test_of_a_molecule_it_is_said_that_its_files_cannot_be_compared(self):
        energy = Molecule(PDB(ALA2, FF))
        old = {"topology": ALA2, "forcefield": FF, "temperature": 300.0, "nonbonded": "NoCutoff", "cutoff": 1.0}
        old |= {"implicit_solvent": None, "defines": None}
        card = {"energy": {"class": "Molecule", "parameters": old}, "kT": energy.kT, "unit": energy.unit}
        assert compare_target(card, energy) == (None, ("topology: written by an earlier version",))

    def test_of_a_file(self, tmp_path):
        table = tmp_path / "table.csv"
        table.write_text("1")
        old = {"class": "Made", "parameters": {"of": "somewhere/table.csv"}}
        found = compare_target({"energy": old, "kT": 1.0, "unit": "kT"}, Made(str(table)))
        assert found.difference is None
        assert found.unknown[0] == "the content of of: written by an earlier version"
