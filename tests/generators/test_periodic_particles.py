"""Particles in a periodic cell are proposed to by a flow: its density is normalised there, whatever the cell and the base."""

import math

import pytest
import torch

from lit_bg.bases import PeriodicCrystal
from lit_bg.energies import Energy
from lit_bg.estimators import ess, log_z
from lit_bg.generators import ContinuousFlow, CouplingFlow
from lit_bg.losses import ReverseKL
from lit_bg.nets import MLPField
from lit_bg.rng import Place
from lit_bg.spaces import Lattice, Particles
from lit_bg.transforms import PeriodicCell

TRICLINIC = torch.tensor([[2.0, 0.0], [0.7, 1.8]])


class Waves(Energy):
    """Two particles whose separation, in fractions of the cell, has the energy a sum of cosines: log Z by quadrature."""

    symmetries = frozenset({"translation"})

    def __init__(self, centred):
        super().__init__()
        self.space = Particles(2, 2, (0, 0), centred=centred, box=TRICLINIC)

    def potential(self, x):
        fraction = (x[:, 0] - x[:, 1]) @ torch.linalg.inv(TRICLINIC).to(x)
        return torch.cos(2 * math.pi * fraction).sum(-1)

    @property
    def initial(self):
        return torch.stack([torch.zeros(2), 0.5 * TRICLINIC.sum(0)])[None]

    @property
    def log_Z(self):
        relative = math.log(self.space.volume) + 2 * torch.special.i0(torch.tensor(1.0, dtype=torch.float64)).log().item()
        return relative - math.log(2) if self.space.centred else relative + math.log(self.space.volume)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def stirred(flow):
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=rng(4))
    return flow.double()


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("crystal", [True, False])
class TestFlow:
    def make(self, centred, crystal):
        prior = PeriodicCrystal(0.1) if crystal else None
        return stirred(CouplingFlow(2, hidden=(16,), prior=prior).build(Waves(centred)))

    def test_density_and_inverse(self, centred, crystal):
        flow, space = self.make(centred, crystal), Waves(centred).space
        x, log_q = flow.sample(30, rng())
        torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=1e-4)
        z, _ = flow.inverse(x)
        again, _ = flow(z)
        assert space.difference(again, x).abs().max() < 1e-5
        moved = x + 3 * TRICLINIC.double()[0]
        torch.testing.assert_close(flow.log_prob(moved), log_q, rtol=0, atol=1e-4)

    def test_log_z_by_importance_sampling(self, centred, crystal):
        """Within 4 sigma; a crystal at rest does not cover the cell and gives averages, not log Z, unless it is wide."""
        energy = Waves(centred)
        flow = self.make(centred, False) if crystal and centred else self.make(centred, crystal)
        if crystal and not centred:
            flow = stirred(CouplingFlow(2, hidden=(16,), prior=PeriodicCrystal(0.7)).build(energy))
        with torch.no_grad():
            x, log_q = flow.sample(20_000, rng())
            value, error = log_z(-energy(x) - log_q)
        assert error < 0.1
        assert abs(value - energy.log_Z) < 4 * error


def test_it_learns():
    from lit_bg.losses import Batch

    energy = Waves(centred=True)
    torch.manual_seed(0)
    flow = CouplingFlow(2, hidden=(32,)).build(energy)
    loss = ReverseKL().build(flow, energy)
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for step in range(200):
        optimizer.zero_grad()
        loss(Batch(flow, energy, 256, at=Place(step=step))).backward()
        optimizer.step()
    with torch.no_grad():
        x, log_q = flow.sample(5000, rng())
    assert ess(-energy(x) - log_q) > 0.95


def test_a_lattice_is_no_particles():
    """A field of shape (3, 3) goes through Standardize; its shape makes no particles of it."""

    class Field(Energy):
        space = Lattice((3, 3))

        def potential(self, x):
            return 0.5 * x.square().flatten(1).sum(-1)

    energy = Field()
    flow = stirred(CouplingFlow(2, hidden=(16,)).build(energy))
    x, log_q = flow.sample(20_000, rng())
    assert x.shape == (20_000, 3, 3)
    torch.testing.assert_close(flow.log_prob(x), log_q, rtol=0, atol=1e-4)
    value, error = log_z(-energy(x).detach() - log_q.detach())
    assert abs(value - 4.5 * math.log(2 * math.pi)) < 4 * error


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="lives on lines"):
        ContinuousFlow(MLPField()).build(Waves(True))

    class Free(Waves):
        def __init__(self):
            super().__init__(True)
            self.space = Particles(2, 2)

    with pytest.raises(ValueError, match="PeriodicCell holds particles in a cell"):
        PeriodicCell().build(Free())
