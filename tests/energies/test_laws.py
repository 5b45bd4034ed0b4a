"""What holds for every energy, exported ones without exception."""

import copy
import inspect
import math
import pickle
from pathlib import Path

import pytest
import torch

from lit_bg import energies
from lit_bg.energies import Energy
from lit_bg.estimators import mean_with_error, virial
from lit_bg.spaces import Vectors

PDB = Path(__file__).parents[2] / "experiments" / "alanine_dipeptide.pdb"
MAKE = {
    "BistableDimer": [lambda: energies.BistableDimer(), lambda: energies.BistableDimer(9, slope=2.0, kT=2.0)],
    "CoulombGas": [lambda: energies.CoulombGas(), lambda: energies.CoulombGas(5, 3, kT=1.0)],
    "DW4": [lambda: energies.DW4(), lambda: energies.DW4(kT=2.0)],
    "DoubleWell": [lambda: energies.DoubleWell(), lambda: energies.DoubleWell(5, a1=0.3, k=2.0, kT=1.7)],
    "Funnel": [lambda: energies.Funnel(2, sigma=1.0), lambda: energies.Funnel(4, sigma=1.0, kT=1.1)],
    "Gaussian": [
        lambda: energies.Gaussian(3, loc=[1.0, 0.0, -2.0], scale=[0.5, 1.0, 2.0]),
        lambda: energies.Gaussian(2, loc=1.0, covariance=[[2.0, -0.9], [-0.9, 1.0]], kT=0.6),
    ],
    "GaussianMixture": [
        lambda: energies.GaussianMixture.forty(),
        lambda: energies.GaussianMixture([[-2.0, 0.0], [2.0, 1.0], [0.5, 3.0]], [1.0, 0.5, 0.8], [0.2, 0.5, 0.3]),
        lambda: energies.GaussianMixture([[-6.0, 0.0, 1.0], [6.0, 0.0, 0.0]], 1.0, [1.0, 3.0]),
    ],
    "Ising": [lambda: energies.Ising(3, kT=2.5), lambda: energies.Ising(8, coupling=0.5, kT=1.3)],
    "LennardJones": [
        lambda: energies.LennardJones(13, factor=2),
        lambda: energies.LennardJones(38, factor=1, kT=0.15),
        lambda: energies.LennardJones(7, factor=1, epsilon=0.5, r_min=1.5, trap=0.2, d=2, kT=1.3),
    ],
    "LennardJonesSolid": [
        lambda: energies.LennardJonesSolid(2, density=1.0, cutoff=1.5),
        lambda: energies.LennardJonesSolid(1, density=0.5, cutoff=0.9, kT=1.3),
    ],
    "ManyWell": [lambda: energies.ManyWell(2), lambda: energies.ManyWell(8, kT=1.5)],
    "Molecule": [lambda: energies.Molecule(str(PDB), forcefield=["amber96.xml", "implicit/obc1.xml"])],
    "MuellerBrown": [lambda: energies.MuellerBrown(), lambda: energies.MuellerBrown(4, kT=2.0)],
    "Tempered": [
        lambda: energies.Tempered(energies.DoubleWell(), 0.1, 4.0),
        lambda: energies.Tempered(energies.DW4(kT=1.5), 0.5, 10.0),
    ],
    "WolfeQuapp": [lambda: energies.WolfeQuapp(), lambda: energies.WolfeQuapp(3, kT=2.0)],
}
CLASSES = [
    name
    for name in energies.__all__
    if isinstance(getattr(energies, name), type)
    and issubclass(getattr(energies, name), Energy)
    and not inspect.isabstract(getattr(energies, name))
]
CASES = [pytest.param(make, id=f"{name}-{i}") for name in CLASSES for i, make in enumerate(MAKE[name])]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def configurations(energy: Energy, n: int) -> torch.Tensor:
    """(n, *event_shape) float64, spread about the initial configurations."""
    initial = energy.initial.double()
    width = 0.003 if len(energy.event_shape) == 2 else 0.3
    noise = torch.randn(n, *energy.event_shape, generator=rng(), dtype=torch.float64)
    return initial[torch.arange(n) % len(initial)] + width * noise


def test_every_exported_energy_is_under_law():
    assert set(MAKE) == set(CLASSES)


@pytest.mark.parametrize("make", CASES)
class TestEveryEnergy:
    def test_one_number_per_configuration_without_neighbours(self, make):
        energy = make()
        x = configurations(energy, 7)
        u = energy(x)
        assert u.shape == (7,)
        assert torch.isfinite(u).all()
        torch.testing.assert_close(u[3:4], energy(x[3:4]))
        torch.testing.assert_close(u.flip(0), energy(x.flip(0)))

    def test_u_is_potential_over_kT(self, make):
        energy = make()
        x = configurations(energy, 3)
        torch.testing.assert_close(energy(x) * energy.kT, energy.potential(x))
        hot = energy.at(2.5 * energy.kT)
        torch.testing.assert_close(hot(x) * 2.5, energy(x))
        assert energy.kT != hot.kT
        with pytest.raises(ValueError, match="must be positive, got 0"):
            energy.at(0)

    def test_force_is_the_gradient(self, make):
        energy = make()
        x = configurations(energy, 2).requires_grad_()
        if len(energy.event_shape) == 1:
            assert torch.autograd.gradcheck(energy, x, check_undefined_grad=False)
            return
        (force,) = torch.autograd.grad(energy(x).sum(), x)
        step = torch.randn(x.shape, generator=rng(1), dtype=x.dtype)
        step = 1e-4 * step / step.flatten(1).norm(dim=1)[:, None, None]
        with torch.no_grad():
            slope = (energy(x + step) - energy(x - step)) / 2
        torch.testing.assert_close((force * step).flatten(1).sum(1), slope, rtol=5e-3, atol=1e-4)

    def test_single_and_double_precision_agree(self, make):
        energy = make()
        x = configurations(energy, 5).float()
        u = energy(x)
        assert u.dtype == torch.float32
        exact = energy(x.double())
        assert exact.dtype == torch.float64
        torch.testing.assert_close(u.double(), exact, rtol=1e-5, atol=1e-4)

    def test_counts_values_and_gradients(self, make):
        energy = make()
        x = configurations(energy, 4)
        energy(x)
        assert (energy.n_values, energy.n_gradients) == (4, 0)
        x.requires_grad_()
        torch.autograd.grad(energy(x).sum(), x)
        assert (energy.n_values, energy.n_gradients) == (8, 4)
        energy.at(2 * energy.kT)(x.detach())
        assert energy.n_values == 12  # a view shares the bill

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_value_and_gradient_are_those_of_autograd(self, make, dtype):
        energy = make()
        x = configurations(energy, 6).to(dtype).requires_grad_()
        u = energy(x)
        (gradient,) = torch.autograd.grad(u.sum(), x)
        calls = energy.n_values, energy.n_gradients
        found_u, found = energy.value_and_gradient(x)
        assert (energy.n_values, energy.n_gradients) == (calls[0] + 6, calls[1] + 6)
        assert not found_u.requires_grad
        assert not found.requires_grad
        torch.testing.assert_close(found_u, u.detach())
        torch.testing.assert_close(found, gradient)

    @pytest.mark.parametrize("change", ["one more", "one axis less", "no batch"])
    def test_wrong_shapes_are_refused(self, make, change):
        energy = make()
        x = configurations(energy, 2)
        wrong = {
            "one more": torch.cat([x, x[..., :1]], -1),
            "one axis less": x[..., 0],
            "no batch": x[0],
        }[change]
        with pytest.raises(ValueError, match="takes configurations of shape"):
            energy(wrong)

    def test_copies_and_pickles(self, make):
        energy = make()
        x = configurations(energy, 3)
        for other in (copy.deepcopy(energy), pickle.loads(pickle.dumps(energy))):
            torch.testing.assert_close(other(x), energy(x))

    def test_declared_symmetries_hold(self, make):
        """Of translation, rotation, reflection and exchange in a type, to rounding; and what is not declared does not hold."""
        energy = make()
        if energy.space.types is None:
            assert not energy.symmetries
            pytest.skip("no particles")
        n, d = energy.event_shape
        x = configurations(energy, 4)
        q, _ = torch.linalg.qr(torch.randn(d, d, generator=rng(2), dtype=x.dtype))
        rotation = q * torch.linalg.det(q).sign() if d % 2 else torch.cat([q[:1] * torch.linalg.det(q).sign(), q[1:]])
        assert torch.linalg.det(rotation).item() == pytest.approx(1)
        mirror = torch.ones(d, dtype=x.dtype)
        mirror[0] = -1
        u, scale = energy(x), energy(x).abs().max().item()
        moved = {"translation": x + 0.3, "rotation": x @ rotation.T, "reflection": x * mirror}
        for name, other in moved.items():
            if name in energy.symmetries:
                torch.testing.assert_close(energy(other), u, rtol=1e-9, atol=1e-9 * scale)
        if "translation" not in energy.symmetries:
            assert (energy(moved["translation"]) - u).abs().min() > 1e-3
        for kind in torch.tensor(energy.space.types).unique():
            order, same = torch.arange(n), (torch.tensor(energy.space.types) == kind).nonzero().flatten()
            order[same] = same.roll(1)
            torch.testing.assert_close(energy(x[:, order]), u, rtol=1e-9, atol=1e-9 * scale)

    def test_undeclared_symmetries_do_not_hold(self, make):
        """A symmetry that holds and is not declared costs others their shortcuts."""
        energy = make()
        if energy.space.types is None:
            pytest.skip("not of particles")
        x = configurations(energy, 5)
        d = energy.event_shape[1]
        moves = {
            "translation": x + torch.tensor([0.3, -0.7, 1.1], dtype=x.dtype)[:d],
        }
        turn = torch.linalg.qr(torch.randn(d, d, generator=rng(1), dtype=x.dtype))[0]
        turn[:, 0] *= torch.linalg.det(turn)  # a rotation, not a reflection
        moves["rotation"] = x @ turn
        moves["reflection"] = x @ turn * torch.tensor([-1.0, 1.0, 1.0], dtype=x.dtype)[:d]  # about no axis of the system
        blind = (
            {"reflection"} if type(energy).__name__ == "Molecule" else set()
        )  # the target is one enantiomer: in_region tells
        for name in moves.keys() - energy.symmetries - blind:
            assert (energy(moves[name]) - energy(x)).abs().max() > 1e-3, name

    def test_particles_of_one_type_change_places(self, make):
        energy = make()
        if energy.space.types is None:
            pytest.skip("not of particles")
        x, types = configurations(energy, 5), torch.tensor(energy.space.types)
        changes = []
        for i, j in [(0, 1), (0, len(types) - 1), (1, len(types) // 2)]:
            if i == j:
                continue
            y = x.clone()
            y[:, [i, j]] = y[:, [j, i]]
            change = (energy(y) - energy(x)).abs().max()
            if types[i] == types[j]:
                torch.testing.assert_close(energy(y), energy(x))
            else:
                changes.append(float(change))
        assert all(change > 1e-3 or math.isnan(change) for change in changes)

    def test_modes_label_configurations(self, make):
        energy = make()
        if energy.modes is None:
            pytest.skip("no modes")
        modes = energy.modes
        assert len(set(modes.names)) == len(modes.names)
        label = modes.label(configurations(energy, 50))
        assert label.dtype == torch.long
        assert label.min() >= -1
        assert label.max() < len(modes.names)
        if modes.exact is not None:
            assert modes.exact.sum().item() == pytest.approx(1, abs=1e-9)
            # where modes are defined by the system there is a start in each of them
            assert modes.label(energy.initial).tolist() == list(range(len(modes.names)))

    def test_observables_are_numbers_of_known_range(self, make):
        energy = make()
        x = configurations(energy, 6)
        for name, observable in energy.observables.items():
            assert observable.function(x).shape == (6,), name
            assert not observable.periodic or observable.range is not None, name

    def test_exact_samples_obey_every_exact_value(self, make):
        """At most 17 + 17 comparisons per case: 4.5 sigma fails by chance once in thousands of runs."""
        energy = make()
        if not energy.has_exact_samples:
            with pytest.raises(NotImplementedError):
                energy.exact_samples(1, rng())
            pytest.skip("no exact sampler")
        n = 40_000
        x = energy.exact_samples(n, rng(7))
        assert x.shape == (n, *energy.event_shape)
        torch.testing.assert_close(energy.exact_samples(5, rng(3)), energy.exact_samples(5, rng(3)))
        if energy.space.unbounded:
            value, error = virial(energy, x)
            assert abs(value - energy.space.dof) < 4.5 * error
        for name, observable in energy.observables.items():
            if observable.exact is not None:
                mean, error = mean_with_error(observable.function(x)[None])
                assert abs(mean - observable.exact) < 4.5 * error + 1e-6, name
        if energy.modes is not None and energy.modes.exact is not None:
            seen = torch.bincount(energy.modes.label(x), minlength=len(energy.modes.names)).double()
            p = energy.modes.exact
            assert ((seen - n * p).abs() < 4.5 * (n * p * (1 - p)).sqrt() + 1.5).all()

    def test_box_holds_the_probability(self, make):
        energy = make()
        if energy.box is None or not energy.has_exact_samples:
            pytest.skip("no box or no exact sampler")
        lower, upper = energy.box
        assert energy.box.shape == (2, energy.dim)
        x = energy.exact_samples(5000, rng(1))
        inside = ((x > lower) & (x < upper)).all(-1).double().mean()
        assert inside > 0.99

    def test_log_z_is_an_integral(self, make):
        """A plain sum over a square, at two temperatures."""
        energy = make()
        if energy.space != Vectors(2):
            pytest.skip("not a plane")
        for kT in (1.0, 1.6):
            system = energy.at(kT)
            lower, upper = system.box.double()
            margin = 0.35 * (upper - lower)
            grid = [
                torch.linspace(float(a), float(b), 801, dtype=torch.float64)
                for a, b in zip(lower - margin, upper + margin, strict=True)
            ]
            u = torch.cat([system(torch.cartesian_prod(part, grid[1])) for part in grid[0].split(100)])
            cell = math.log(grid[0][1] - grid[0][0]) + math.log(grid[1][1] - grid[1][0])
            assert torch.logsumexp(-u, 0).item() + cell == pytest.approx(system.log_Z, abs=1e-5)
