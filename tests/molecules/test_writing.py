import mdtraj
import numpy as np
import pytest
import torch

from lit_bg.energies import Molecule
from lit_bg.molecules import pdb_text, save_structures
from lit_bg.rng import stream


@pytest.fixture(scope="module")
def ala2():
    return Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])


def thermal(energy, n=5):
    return energy.initial + 0.01 * torch.randn(n, *energy.event_shape, generator=stream(0, "writing"))


@pytest.mark.parametrize(("suffix", "atol"), [("pdb", 6e-5), ("xtc", 6e-4), ("dcd", 1e-6)])
def test_what_is_written_is_read_back(ala2, tmp_path, suffix, atol):
    x = thermal(ala2)
    path = tmp_path / "new" / f"samples.{suffix}"
    save_structures(ala2.structure, x, path)
    back = mdtraj.load(str(path), **({} if suffix == "pdb" else {"top": "experiments/alanine_dipeptide.pdb"}))
    np.testing.assert_allclose(back.xyz, x.numpy(), atol=atol)
    assert list(path.parent.iterdir()) == [path]  # no temporary file is left
    if suffix == "pdb":
        assert [a.name for a in back.topology.atoms] == list(ala2.structure.names)
        assert back.topology.n_bonds == len(ala2.structure.bonds)


def test_the_text_of_one_structure(ala2, tmp_path):
    x = thermal(ala2, 1)[0]
    (tmp_path / "one.pdb").write_text(pdb_text(ala2.structure, x))
    back = mdtraj.load(str(tmp_path / "one.pdb"))
    np.testing.assert_allclose(back.xyz[0], x.numpy(), atol=6e-5)
    assert [a.name for a in back.topology.atoms] == list(ala2.structure.names)
    # and it is a topology for the same energy
    again = Molecule(str(tmp_path / "one.pdb"), forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    torch.testing.assert_close(again(x[None]), ala2(x[None]), rtol=1e-6, atol=1e-3)


def test_unfit_configurations_are_refused(ala2, tmp_path):
    x = thermal(ala2)
    with pytest.raises(ValueError, match=r"not as '\.xyz'"):
        save_structures(ala2.structure, x, tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=r"\(B, 22, 3\), got \(22, 3\)"):
        save_structures(ala2.structure, x[0], tmp_path / "a.pdb")
    x[1, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="1 of 5"):
        save_structures(ala2.structure, x, tmp_path / "a.pdb")
    assert list(tmp_path.iterdir()) == []
