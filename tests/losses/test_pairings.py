"""Laws of pairings: both ends keep their samples, and paths become shorter."""

import inspect
import itertools
import math

import pytest
import torch

from lit_bg.bases import Crystal, Harmonic, Normal
from lit_bg.energies import DW4, BistableDimer, CoulombGas, DoubleWell, PairEnergy
from lit_bg.generators import ContinuousFlow
from lit_bg.losses import FlowMatching, pairings
from lit_bg.losses.pairings import EquivariantOT, Independent, MinibatchOT
from lit_bg.nets import EGNN
from lit_bg.spaces import Particles

MAKE = {
    "EquivariantOT": lambda: EquivariantOT(block=6),
    "Independent": Independent,
    "MinibatchOT": lambda: MinibatchOT(block=6),
}


def draw(shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64), 1 + torch.randn(shape, generator=rng, dtype=torch.float64)


def test_every_exported_pairing_is_under_law():
    classes = [getattr(pairings, name) for name in pairings.__all__]
    assert {c.__name__ for c in classes if not inspect.isabstract(c)} == set(MAKE)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_every_pairing_shortens_paths_within_the_orbits_of_the_samples(make):
    x0, x1 = draw((17, 4, 2))
    a, b = make().build(DW4())(x0, x1)
    assert (a - b).square().sum() <= (x0 - x1).square().sum() + 1e-9
    for before, after in ((x0, a), (x1, b)):
        torch.testing.assert_close(orbits(before), orbits(after))


def test_a_base_or_a_field_without_the_symmetries_is_refused():
    energy = DW4()
    pairing, field, base = EquivariantOT().build(energy), EGNN(1, 4).build(energy), Normal().build(energy)
    pairing.check(base, field)
    with pytest.raises(ValueError, match="by exchanges of particles, and Harmonic does not"):
        pairing.check(Harmonic([(0, 1), (1, 2), (2, 3)]).build(energy), field)
    with pytest.raises(ValueError, match="by exchanges of particles and rotations and reflections, and Crystal does not"):
        pairing.check(Crystal().build(energy), field)
    loss, flow = FlowMatching(pairing=pairing), ContinuousFlow(EGNN(1, 4), Crystal()).build(energy)
    with pytest.raises(ValueError, match="Crystal does not follow them: use MinibatchOT"):
        loss.build(flow, energy)
    MinibatchOT().check(Crystal().build(energy), field)


def orbits(x):
    """Rows of sorted pair distances, sorted: what no rotation, reflection or exchange changes."""
    rows = torch.stack([torch.pdist(each) for each in x]).sort(1).values
    return rows[rows[:, 0].argsort()]


@pytest.mark.parametrize("make", [MAKE["Independent"], MAKE["MinibatchOT"]], ids=["Independent", "MinibatchOT"])
@pytest.mark.parametrize("shape", [(20, 3), (17, 4, 2)])
def test_both_ends_keep_their_samples_and_paths_do_not_get_longer(make, shape):
    x0, x1 = draw(shape)
    a, b = make()(x0, x1)
    for before, after in ((x0, a), (x1, b)):
        torch.testing.assert_close(before.flatten(1).sort(0).values, after.flatten(1).sort(0).values)
        rows = {tuple(r) for r in after.flatten(1).tolist()}
        assert rows == {tuple(r) for r in before.flatten(1).tolist()}
    assert (a - b).square().sum() <= (x0 - x1).square().sum() + 1e-9


def test_the_assignment_is_the_best_of_all():
    x0, x1 = draw((6, 2))
    a, b = MinibatchOT(block=6)(x0, x1)
    best = min((x0 - x1[list(order)]).square().sum().item() for order in itertools.permutations(range(6)))
    assert (a - b).square().sum().item() == pytest.approx(best)


def test_a_block_of_one_is_refused():
    with pytest.raises(ValueError, match="block=1"):
        MinibatchOT(block=1)


class Three(PairEnergy):
    """Three particles of one kind in the plane, without mirror images where told so."""

    def __init__(self, mirror=True, types=(0, 0, 0)):
        super().__init__(3, 2)
        self.symmetries = frozenset({"translation", "rotation"} | ({"reflection"} if mirror else set()))
        self.space = Particles(3, 2, types)

    def pair(self, r):
        return r**2


@pytest.mark.parametrize("energy", [DW4(), CoulombGas(4, 2), Three(), BistableDimer(4)], ids=lambda e: type(e).__name__)
def test_symmetries_make_paths_shorter_than_a_plain_assignment(energy):
    x0, x1 = draw((12, *energy.event_shape))
    plain = sum((a - b).square().sum() for a, b in [MinibatchOT(block=6)(x0, x1)])
    costs = [(x0 - EquivariantOT(6, sweeps).build(energy)(x0, x1)[1]).square().sum() for sweeps in (1, 5)]
    assert costs[1] <= costs[0] + 1e-9 <= plain


def turn(angle, mirror=False):
    c, s, sign = math.cos(angle), math.sin(angle), -1 if mirror else 1
    return torch.tensor([[c, -s * sign], [s, c * sign]], dtype=torch.float64)


@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("types", [(0, 0, 0), (0, 1, 0), (0, 1, 2)], ids=str)
def test_three_particles_against_all_exchanges_and_angles(mirror, types):
    """Nothing is better than brute force, so only legal moves are made; without exchanges nothing is worse either."""
    x0, x1 = (x - x.mean(1, keepdim=True) for x in draw((2, 3, 2), seed=3))
    legal = [s for s in itertools.permutations(range(3)) if all(types[i] == types[j] for i, j in enumerate(s))]
    turns = [turn(angle, m) for angle in torch.linspace(0, 2 * math.pi, 721).tolist() for m in ({False, mirror})]
    moved = torch.stack([x1[:, list(s)] @ r.T for s in legal for r in turns])  # (moves, 2, N, d)
    cost = (x0[:, None] - moved[:, None]).square().sum((-1, -2)).amin(0)
    best = min(cost[0, 0] + cost[1, 1], cost[0, 1] + cost[1, 0]).item()
    _, paired = EquivariantOT(2, sweeps=20).build(Three(mirror, types))(x0, x1)
    found = (x0 - paired).square().sum().item()
    assert found >= best * (1 - 1e-3)  # angles half a degree apart
    assert found <= (x0 - x1).square().sum().item()
    if types == (0, 1, 2):
        assert found <= best + 1e-9


@pytest.mark.parametrize("mirror", [True, False])
def test_a_mirror_image_is_laid_on_its_original_only_where_the_energy_allows_it(mirror):
    x0, _ = draw((3, 3, 2))
    x0 = x0 - x0.mean(1, keepdim=True)
    image = x0 @ turn(0.3, mirror=True).T + 5  # the centre of mass stays where it is
    _, paired = EquivariantOT(3).build(Three(mirror, types=(0, 1, 2)))(x0, image.flip(0))
    assert ((x0 - paired + 5).abs().max() < 1e-9) == mirror


@pytest.mark.parametrize("energy", [DoubleWell(), Three(types=(0, 1, 2)).at(1.0)], ids=["no particles", "no symmetry"])
def test_what_cannot_be_aligned_is_refused(energy):
    energy.symmetries = frozenset()
    with pytest.raises(ValueError, match="allows neither: use MinibatchOT"):
        EquivariantOT().build(energy)


def test_an_alignment_without_a_system_or_a_sweep_is_refused():
    with pytest.raises(ValueError, match="build"):
        EquivariantOT()(*draw((2, 3, 2)))
    with pytest.raises(ValueError, match="sweeps=0"):
        EquivariantOT(sweeps=0)
