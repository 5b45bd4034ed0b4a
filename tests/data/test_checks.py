"""Wrong data of every kind are refused, and good data of every system are not."""

import math

import numpy as np
import pytest
import torch

from lit_bg import energies
from lit_bg.data.card import make_card, quality, refusal
from lit_bg.data.checks import compare_gradient, find_bad_frames
from lit_bg.data.dataset import Dataset
from lit_bg.energies import DoubleWell, Energy, Molecule
from lit_bg.simulators.base import Trajectory
from lit_bg.spaces import Vectors


class Quartic(Energy):
    """u = x^4 / 4 + x^2 / 2 of every coordinate, with a gradient that is right, or not."""

    space = Vectors(4)

    def __init__(self, fault=""):
        super().__init__()
        self.fault = fault

    def potential(self, x):
        return WithGradient.apply(x, self.fault)


class WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, fault):
        ctx.save_for_backward(x)
        ctx.fault = fault
        return (x**4 / 4 + x**2 / 2).sum(-1)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        gradient = x**3 + x
        match ctx.fault:
            case "no quartic term":
                gradient = x
            case "one coordinate":
                gradient = torch.cat([0.5 * gradient[:, :1], gradient[:, 1:]], 1)
            case "factor":
                gradient = 1.02 * gradient
            case "one side":
                gradient = torch.where(x[:, :1] > 0.8, 1.3 * gradient, gradient)
        return grad[:, None] * gradient, None


def frames(seed=0):
    return 0.7 * torch.randn(4000, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("fault", ["no quartic term", "one coordinate", "factor", "one side"])
def test_a_gradient_of_another_energy_is_refused(fault):
    assert compare_gradient(Quartic(), frames()) is None
    assert compare_gradient(Quartic(fault), frames()) is not None
    energy, x = Quartic(fault), frames().reshape(400, 10, 4)
    card = make_card(energy, Trajectory(x), energy.potential(x))
    assert "the gradient is not that of the energy" in refusal(card)
    assert quality(card) == "refuted"


SYSTEMS = [getattr(energies, name) for name in energies.__all__]
SYSTEMS = [e for e in SYSTEMS if isinstance(e, type) and issubclass(e, Energy) and e not in (Energy, Molecule)]


@pytest.mark.parametrize("kind", SYSTEMS, ids=lambda e: e.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_good_data_are_accused(kind, dtype):
    try:
        energy = kind()
    except TypeError:
        pytest.skip("a system that needs arguments")
    if energy.has_exact_samples:
        x = energy.exact_samples(20_000, torch.Generator().manual_seed(0)).to(dtype)
    elif energy.initial is not None:
        x = energy.initial.to(dtype)[:1] + 0.05 * torch.randn(2000, *energy.event_shape, dtype=dtype)
    else:
        pytest.skip("a system without exact samples or starting points")
    assert compare_gradient(energy, x) is None
    if energy.has_exact_samples:
        assert find_bad_frames(energy, x[:, None], energy(x)[:, None].detach()) == {}


def test_energies_without_a_gradient_are_not_compared():
    class Steps(DoubleWell):
        def potential(self, x):
            return super().potential(x).detach().round()

    assert compare_gradient(Steps(), frames()[:, :2]) is None


def test_blown_up_frames_are_refused_and_named():
    energy = DoubleWell()
    x = energy.exact_samples(4000, torch.Generator().manual_seed(0)).reshape(400, 10, 2)
    x[7, 3] = 1e4
    card = make_card(energy, Trajectory(x), energy(x.reshape(-1, 2)).reshape(400, 10))
    assert "1 of 4000 frames have an energy more than" in refusal(card)
    assert "the first is frame 7 of walker 3" in refusal(card)


def card_of(frames, walkers):
    energy = DoubleWell()
    x = energy.exact_samples(frames * walkers, torch.Generator().manual_seed(0)).reshape(frames, walkers, 2)
    return make_card(energy, Trajectory(x), energy(x.reshape(-1, 2)).reshape(frames, walkers))


def test_what_is_too_short_to_tell_is_no_pass():
    card = card_of(3, 500)
    assert math.isnan(card["r_hat"]["u"] or math.nan)
    assert any("only 3 frames per walker" in problem for problem in card["verdict"])
    assert quality(card) == "not converged"
    assert quality(card_of(400, 10)) == "pass"


def test_one_walker_that_walks_is_no_pass():
    energy = DoubleWell()
    steps = 0.05 * torch.randn(4000, 1, 2, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([-1.7, 0.0]) + steps.cumsum(0) / steps.cumsum(0).std()
    card = make_card(energy, Trajectory(x), energy(x[:, 0])[:, None])
    assert any("a single walker" in problem for problem in card["verdict"])


def test_a_mode_that_nobody_visited_has_a_limit_and_no_error():
    energy = DoubleWell()
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * 0.3 - torch.tensor([1.7, 0.0])
    x = x.reshape(400, 10, 2)
    modes = make_card(energy, Trajectory(x), energy(x.reshape(-1, 2)).reshape(400, 10))["modes"]
    assert modes["right"]["p"] == 0
    assert modes["right"]["error"] is None
    assert modes["right"]["upper"] == pytest.approx(3 / 4000)


@pytest.fixture(scope="module")
def valine():
    return Molecule("tests/data/V.pdb", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])


def thermal(energy, n=40):
    return energy.initial + 0.002 * torch.randn(n, *energy.event_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda x: torch.cat([x[:30], x[30:] * torch.tensor([1.0, 1.0, -1.0])]),
            "10 of 40 frames have the other hand at CA of VAL2",
        ),
        (lambda x: x * torch.tensor([1.0, 1.0, -1.0]), "40 of 40 frames have the other hand"),
        (lambda x: torch.cat([x[:35], 10 * x[35:]]), "5 of 40 frames have a bond longer than 0.4 nm, the first is frame 35"),
        (lambda x: torch.cat([x[:35], 0.25 * x[35:]]), "5 of 40 frames have a bond shorter than 30%"),
    ],
    ids=["some of the other hand", "all of the other hand", "some in angstrom", "crushed"],
)
def test_frames_that_are_not_of_the_molecule_are_named(valine, tmp_path, spoil, said):
    np.savez(tmp_path / "x.npz", x=spoil(thermal(valine)).numpy())
    with pytest.raises(ValueError, match=said.split(",")[0]):
        Dataset.load(tmp_path / "x.npz", valine)


def test_names_of_a_pdb_order_its_atoms(valine, tmp_path):
    import mdtraj

    from lit_bg.molecules.writing import mdtraj_topology

    x = thermal(valine, 5)
    order = torch.randperm(valine.structure.n_atoms, generator=torch.Generator().manual_seed(1)).tolist()
    order.sort(key=lambda i: valine.structure.residue_of[i])  # residues stay together
    frames = mdtraj.Trajectory(x.numpy(), mdtraj_topology(valine.structure)).atom_slice(order)
    frames.save(str(tmp_path / "x.pdb"))
    from lit_bg.data.reading import read_trajectory

    read = read_trajectory(tmp_path / "x.pdb", valine)
    assert (read - x).abs().max() < 1e-4  # what a PDB file keeps
    text = (tmp_path / "x.pdb").read_text().replace(" CG1 ", " XX1 ")
    (tmp_path / "y.pdb").write_text(text)
    with pytest.raises(ValueError, match="has no atom CG1 in residue VAL2"):
        read_trajectory(tmp_path / "y.pdb", valine)


def test_molecules_cut_by_a_cell_are_made_whole(valine, tmp_path):
    import mdtraj

    from lit_bg.data.reading import read_trajectory
    from lit_bg.molecules.writing import mdtraj_topology

    x, box = thermal(valine, 3), 3.0
    wrapped = torch.remainder(x + 0.01, box)
    frames = mdtraj.Trajectory(
        wrapped.numpy(), mdtraj_topology(valine.structure), unitcell_lengths=[[box] * 3] * 3, unitcell_angles=[[90.0] * 3] * 3
    )
    frames.save(str(tmp_path / "x.dcd"))
    read = read_trajectory(tmp_path / "x.dcd", valine)
    assert not any(wrong.any() for wrong in valine.find_faults(read).values())


def test_npy_and_big_endian_arrays_are_read(tmp_path):
    energy = DoubleWell()
    x = energy.exact_samples(3000, torch.Generator().manual_seed(0)).reshape(300, 10, 2).numpy()
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "big.npz", x=x.astype(">f8"))
    for name in ("x.npy", "big.npz"):
        data = Dataset.load(tmp_path / name, energy)
        assert len(data) == 3000
        assert quality(data.card) == "pass"


def test_hdf5_without_its_reader_is_one_sentence(valine, tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (tmp_path / "x.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="pip install tables"):
        Dataset.load(tmp_path / "x.h5", valine)
