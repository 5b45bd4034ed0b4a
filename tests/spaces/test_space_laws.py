"""Every space: noise has the density it says, projection and wrapping are idempotent, differences know of both."""

import math

import pytest
import torch

import lit_bg.spaces
from lit_bg.spaces import Domain, Kind, Lattice, Particles, Product, Space, Spins, Vectors
from lit_bg.spaces.particles import reduced

TRICLINIC = torch.tensor([[3.0, 0.0, 0.0], [1.4, 2.5, 0.0], [-1.1, 0.9, 2.8]])
MIXED = Domain(
    torch.tensor([Kind.LINEAR, Kind.BOUNDED, Kind.CIRCULAR]), torch.tensor([0.0, -1.0, 2.0]), torch.tensor([1.0, 4.0, 5.0])
)
SPACES = {
    "vectors": Vectors(3),
    "mixed vectors": Vectors(3, MIXED),
    "free particles": Particles(5, 3),
    "two in the plane": Particles(2, 2, (0, 0)),
    "held particles": Particles(4, 2, centred=False),
    "cell": Particles(4, 3, (0, 0, 1, 1), centred=False, box=torch.diag(torch.tensor([2.0, 3.0, 4.0]))),
    "triclinic cell": Particles(4, 3, centred=False, box=TRICLINIC),
    "triclinic cell without translations": Particles(4, 3, centred=True, box=TRICLINIC),
    "lattice": Lattice((4, 3)),
    "spins": Spins((3, 2)),
    "clock": Spins((5,), states=3),
    "particles and a volume": Product(Particles(3, 2), Vectors(1)),
    "a circle and a field": Product(Vectors(3, MIXED), Lattice((2, 2))),
}
CONTINUOUS = {name: space for name, space in SPACES.items() if space.continuous}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def configurations(space, n, seed=0):
    """Anywhere, far outside of cells and circles."""
    if not space.continuous:
        return space.noise(n, rng(seed), torch.float64)
    return 5 * torch.randn(n, *space.shape, generator=rng(seed), dtype=torch.float64)


def test_every_exported_space_is_under_law():
    exported = {c for c in vars(lit_bg.spaces).values() if isinstance(c, type) and issubclass(c, Space) and c is not Space}
    assert exported == {type(space) for space in SPACES.values()}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
class TestEverySpace:
    def test_shape_and_checks(self, space):
        x = configurations(space, 4)
        space.check(x)
        assert space.dim == x[0].numel()
        assert space.contains(space.wrap(x)).shape == (4,)
        with pytest.raises(ValueError, match="takes configurations of shape"):
            space.check(x[:, None])
        broken = x.clone()
        broken[0].view(-1)[0] = math.nan
        assert space.contains(broken)[1:].equal(space.contains(x)[1:])
        assert not space.contains(broken)[0]
        assert str(space)
        assert space == space
        hash(space)

    def test_projection_and_wrapping_are_idempotent(self, space):
        x = configurations(space, 20)
        once = space.project(x)
        torch.testing.assert_close(space.project(once), once)
        wrapped = space.wrap(x)
        torch.testing.assert_close(space.wrap(wrapped), wrapped, atol=1e-9, rtol=0)

    def test_wrapping_and_differences_agree(self, space):
        """A configuration and its representative are the same place; a difference leads from one to the other."""
        x, y = configurations(space, 20, 1), configurations(space, 20, 2)
        nothing = torch.zeros_like(x)
        torch.testing.assert_close(space.difference(space.wrap(x), x), nothing, atol=1e-9, rtol=0)
        d = space.difference(x, y)
        torch.testing.assert_close(space.difference(space.wrap(x), space.wrap(y)), d, atol=1e-9, rtol=0)
        torch.testing.assert_close(space.difference(y + d, x), nothing, atol=1e-9, rtol=0)
        torch.testing.assert_close(space.project(d), d, atol=1e-9, rtol=0)

    def test_noise_is_reproducible_and_of_this_space(self, space):
        a, b = (space.noise(6, rng(3), torch.float64) for _ in range(2))
        assert torch.equal(a, b)
        torch.testing.assert_close(space.project(a), a)
        space.check(a)

    def test_it_is_a_value(self, space):
        with pytest.raises((AttributeError, TypeError)):
            space.dof = 3


@pytest.mark.parametrize("space", CONTINUOUS.values(), ids=CONTINUOUS)
class TestEveryContinuousSpace:
    def test_noise_is_standard_normal_in_the_degrees_of_freedom(self, space):
        """Its covariance is the projection, within 5 sigma of 40 000 samples, and of the fourth moment."""
        n = 40_000
        v = space.noise(n, rng(), torch.float64).flatten(1)
        eye = torch.eye(space.dim, dtype=torch.float64)
        projection = space.project(eye.reshape(-1, *space.shape)).flatten(1)
        found = v.T @ v / n
        assert (found - projection).abs().max() < 5 * math.sqrt(2 / n)
        squares = v.square().sum(1)
        assert abs(squares.mean().item() - space.dof) < 5 * math.sqrt(2 * space.dof / n)
        assert squares.var().item() == pytest.approx(2 * space.dof, rel=5 * math.sqrt(14 / n) + 5 * 12 / (space.dof * n) ** 0.5)

    def test_dof_is_the_rank_of_projected_noise(self, space):
        v = space.noise(200, rng(), torch.float64).flatten(1)
        assert torch.linalg.matrix_rank(v) == space.dof

    def test_projection_is_orthogonal_in_the_metric_of_masses(self, space):
        if space.types is None:
            pytest.skip("no particles")
        mass = torch.arange(1, space.shape[0] + 1, dtype=torch.float64)[:, None]
        v = torch.randn(7, *space.shape, generator=rng(), dtype=torch.float64)
        p = space.project(v, mass)
        torch.testing.assert_close(space.project(p, mass), p)
        assert ((mass * p * (v - p)).flatten(1).sum(1).abs() < 1e-9).all()

    def test_units_undo_a_change_of_scale(self, space):
        if not space.unbounded:
            pytest.skip("units are of lines")
        x = 2.5 * space.noise(4000, rng(), torch.float64)
        loc, width = space.measure_units(x)
        assert loc.shape == width.shape == space.units_shape
        assert ((width / 2.5 - 1).abs() < 0.06).all()


class TestCells:
    @pytest.mark.parametrize("name", ["cell", "triclinic cell"])
    def test_the_nearest_image_is_the_nearest(self, name):
        """Against all images within four cells."""
        space = SPACES[name]
        v = 9 * torch.randn(300, 3, generator=rng(), dtype=torch.float64)
        shifts = torch.cartesian_prod(*[torch.arange(-14, 15, dtype=torch.float64)] * 3) @ space.cell
        nearest = (v[:, None] + shifts).norm(dim=-1).amin(1)
        found = space.separations(v)
        torch.testing.assert_close(found.norm(dim=-1), nearest)
        off = (found - v) @ torch.linalg.inv(space.cell)
        torch.testing.assert_close(off, off.round(), atol=1e-9, rtol=0)

    @pytest.mark.parametrize("seed", range(12))
    @pytest.mark.parametrize("d", [1, 2, 3])
    def test_the_nearest_image_in_any_cell(self, d, seed):
        """Skewed cells, against all images that may come near."""
        cell = torch.randn(d, d, generator=rng(seed), dtype=torch.float64)
        cell = cell + 0.3 * torch.eye(d, dtype=torch.float64) * cell.diagonal().sign()
        space = Particles(2, d, centred=False, box=cell)
        v = 3 * torch.randn(40, d, generator=rng(seed + 100), dtype=torch.float64)
        short = reduced(cell)
        start = v - (v @ torch.linalg.inv(short)).round() @ short
        shifts = torch.cartesian_prod(*[torch.arange(-6, 7, dtype=torch.float64)] * d).reshape(-1, d) @ short
        nearest = (start[:, None] + shifts).norm(dim=-1).amin(1)
        torch.testing.assert_close(space.separations(v).norm(dim=-1), nearest)
        assert abs(torch.linalg.det(short)) == pytest.approx(space.volume)

    def test_another_basis_of_the_lattice_is_the_same_cell(self):
        skewed = TRICLINIC.clone()
        skewed[2] += 2 * skewed[0] - skewed[1]
        a, b = (Particles(2, 3, centred=False, box=cell) for cell in (TRICLINIC, skewed))
        v = 9 * torch.randn(100, 3, generator=rng(), dtype=torch.float64)
        torch.testing.assert_close(a.separations(v).norm(dim=-1), b.separations(v).norm(dim=-1))
        assert a.volume == pytest.approx(b.volume)

    def test_wrapped_particles_lie_in_the_cell(self):
        space = SPACES["triclinic cell"]
        fraction = space.wrap(configurations(space, 50)) @ torch.linalg.inv(space.cell)
        assert (fraction >= -1e-12).all()
        assert (fraction < 1 + 1e-12).all()

    def test_both_measures_are_related_by_the_volume(self):
        """log Z with and without translations of two particles on a ring, by quadrature."""
        length, n = 3.0, 2

        def u(r):
            return torch.cos(2 * math.pi * r / length)

        r = torch.arange(4000, dtype=torch.float64) / 4000 * length
        relative = torch.exp(-u(r)).mean().log().item() + math.log(length)  # over x2 - x1
        centred = relative - 0.5 * math.log(n)  # an orthonormal coordinate is (x2 - x1) / sqrt 2
        full = relative + math.log(length)
        space = Particles(2, 1, centred=True, box=[[length]])
        assert full == pytest.approx(centred + math.log(space.volume) + 0.5 * math.log(n))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vectors(0), "at least one, got 0"),
        (lambda: Vectors(2.0), "whole number"),
        (lambda: Vectors(2, MIXED), "need a domain of as many, got 3"),
        (lambda: Vectors(1, Domain(torch.tensor([2]), torch.tensor([1.0]), torch.tensor([1.0]))), "lower < upper"),
        (lambda: Particles(1, 3), "need 2 or more"),
        (lambda: Particles(3, 2, (0, 0)), "3 Particles need as many types, got 2"),
        (lambda: Particles(3, 2, box=torch.zeros(2, 2)), "with a volume"),
        (lambda: Particles(3, 2, box=torch.eye(3)), r"must be \(2, 2\)"),
        (lambda: Lattice(()), "at least one site"),
        (lambda: Lattice((3, 0)), "at least one site"),
        (lambda: Spins((3,), states=1), "two states or more"),
    ],
)
def test_what_is_no_space_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_spins_are_uniform():
    """Frequencies of 30 000 spins within 5 sigma."""
    for space in (Spins((100, 100)), Spins((100, 100), states=5)):
        x = space.noise(3, rng())
        found = torch.stack([(x == v).double().mean() for v in space.values])
        q = space.states
        assert ((found - 1 / q).abs() < 5 * math.sqrt((1 / q) * (1 - 1 / q) / x.numel())).all()
        assert space.contains(x).all()
        assert not space.contains(x + 0.5).any()


def test_parts_of_a_product():
    space = SPACES["particles and a volume"]
    x = configurations(space, 3)
    a, b = space.split(x)
    assert a.shape == (3, 3, 2)
    assert torch.equal(space.join(a, b), x)
