"""Bonds, angles and torsions: the reference measure, kinds and scales."""

import math

import pytest
import torch
from small_molecules import DIPEPTIDE, Bare, jittered, molecule, toy
from torch import Tensor

from lit_bg.energies import DoubleWell, Energy
from lit_bg.molecules.geometry import distance
from lit_bg.rng import stream
from lit_bg.spaces import Kind, Particles
from lit_bg.transforms import InternalCoordinates


class Springs(Energy):
    r"""Four atoms, a harmonic spring of its own length between every pair.

    $u(x) = \frac{1}{2} \sum_{i<j} k (r_{ij} - d_{ij})^2$; two mirror images.
    """

    def __init__(self, k: float = 4.0) -> None:
        super().__init__()
        corners = torch.tensor([[0, 0, 0], [1.0, 0, 0], [0.2, 1.1, 0], [0.3, 0.4, 0.9]], dtype=torch.float64)
        self.space, self.k = Particles(4, 3), k
        self.structure = toy(corners.numpy(), [(0, 1), (0, 2), (0, 3)])
        self.register_buffer("pairs", torch.combinations(torch.arange(4)))
        self.register_buffer("d", distance(corners[None], self.pairs)[0])

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * self.k * (distance(x, self.pairs) - self.d).square().sum(-1)


def log_mean_exp(log_w: Tensor) -> tuple[float, float]:
    """Logarithm of the mean weight, and its standard error."""
    top = log_w.max()
    w = (log_w - top).exp()
    return (top + w.mean().log()).item(), (w.std() / w.mean() / math.sqrt(len(w))).item()


def test_log_z_is_the_same_number_in_both_coordinates():
    """The reference measure, by Gaussian proposals in Cartesians without centre of mass and in internal coordinates."""
    energy, n = Springs(), 200_000
    rng = stream(0, "measure")

    # Cartesian: an isotropic Gaussian on the centre-of-mass-free subspace, in an orthonormal basis of it
    basis = torch.linalg.qr(torch.cat([torch.ones(4, 1), torch.eye(4)[:, :3]], 1).double())[0][:, 1:]
    s = 0.62
    y = s * torch.randn(n, 3, 3, generator=rng, dtype=torch.float64)
    log_q = -0.5 * (y / s).square().sum((1, 2)) - 4.5 * math.log(2 * math.pi * s * s)
    cartesian, error_c = log_mean_exp(-energy(torch.einsum("ia,nad->nid", basis, y)) - log_q)

    # internal: 3 bonds, 2 angles, 1 improper of both signs; proposals broad on each
    chart = InternalCoordinates().build(energy).double()
    chart.mean[:] = torch.tensor([1.0, 1.0, 1.0, 1.4, 1.4, 0.0])
    chart.scale[:] = torch.tensor([0.45, 0.45, 0.45, 0.55, 0.55, 1.6])
    z = torch.randn(n, 6, generator=rng, dtype=torch.float64)
    x, ladj = chart(z)
    log_p = -0.5 * z.square().sum(-1) - 3 * math.log(2 * math.pi)
    valid = x.isfinite().all(-1).all(-1)
    assert not valid.all()  # proposals out of range exist here, and are no configurations
    log_w = torch.where(valid, -energy(x.nan_to_num()) - (log_p - ladj), -math.inf)
    internal, error_i = log_mean_exp(log_w)

    assert error_c < 0.03
    assert error_i < 0.03
    assert abs(cartesian - internal) < 3 * math.hypot(error_c, error_i)


def test_log_z_of_a_chain_is_exact():
    r"""Three atoms, u = a (r_1^2 + r_2^2) / 2: Z = (2 pi / a)^3 / 3^{3/2} in the centre-of-mass-free measure.

    The Jacobian from orthonormal coordinates to the two bond vectors is sqrt(N)^3.
    """
    a, n = 50.0, 200_000
    structure = toy([[0.2, 0, 0], [0, 0, 0], [0, 0.2, 0]], [(0, 1), (1, 2)])
    chart = InternalCoordinates().build(Bare(structure)).double()
    chart.mean[:] = torch.tensor([0.25, 0.25, math.pi / 2])
    chart.scale[:] = torch.tensor([0.09, 0.09, 0.7])
    z = torch.randn(n, 3, generator=stream(0, "chain"), dtype=torch.float64)
    x, ladj = chart(z)
    log_p = -0.5 * z.square().sum(-1) - 1.5 * math.log(2 * math.pi)
    u = 0.5 * a * distance(x, torch.tensor([[0, 1], [1, 2]])).square().sum(-1)
    log_w = torch.where(u.isfinite(), -u - log_p + ladj, -math.inf)
    value, error = log_mean_exp(log_w)
    assert error < 0.02
    assert abs(value - (3 * math.log(2 * math.pi / a) - 1.5 * math.log(3))) < 3 * error


def test_kinds_follow_from_the_graph_alone():
    kinds = InternalCoordinates().build(molecule(DIPEPTIDE)).domain.kinds
    assert kinds.tolist().count(Kind.CIRCULAR) == 7  # phi, psi, two omega, three methyl groups
    assert kinds.tolist().count(Kind.LINEAR) == 53


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (DoubleWell(), "and DoubleWell, 2 coordinates, has none"),
        (
            Bare(toy([[0, 0, 0], [1, 0, 0], [5, 0, 0], [6, 0, 0], [7, 0, 0]], [(0, 1), (2, 3), (3, 4)])),
            "2 parts of 3, 2 atoms",
        ),
        (Bare(toy([[0, 0, 0], [1, 0, 0]], [(0, 1)])), "at least three atoms, got 2"),
    ],
)
def test_what_is_no_molecule_is_refused(energy, message):
    with pytest.raises(ValueError, match=message):
        InternalCoordinates().build(energy)


def test_torsions_are_cut_where_there_are_fewest_data():
    energy = molecule(DIPEPTIDE)
    chart = InternalCoordinates().build(energy).double()
    z = chart.inverse(jittered(energy, 2000, width=0.003))[0]
    z[:, chart.torsion] = 0.9 + 0.1 * torch.randn(2000, 7, generator=stream(0, "cut"), dtype=torch.float64)  # across the cut
    x, _ = chart(z)
    assert chart.inverse(x)[0][:, chart.torsion].std(0).min() > 0.5
    chart.adapt(x)
    assert chart.inverse(x)[0][:, chart.torsion].std(0).max() < 0.2
