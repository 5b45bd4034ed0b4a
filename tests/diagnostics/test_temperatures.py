"""Reweighting to other temperatures: right inside the interval that it claims, and not trusted outside."""

import math

import pytest
import torch

from lit_bg.diagnostics.temperatures import LabelledModes, extrapolate, find_reach, weights_at
from lit_bg.energies import DoubleWell, Gaussian
from lit_bg.report.temperatures import GOOD, Interval, accuse_reach, describe_interval, find_interval, judge_temperature
from lit_bg.samples import Chains, Populations, Samples


def kinds(energy, n=16_000, seed=0):
    """Exact samples as draws, chains and populations."""
    x = energy.exact_samples(n, torch.Generator().manual_seed(seed)).double()
    u = energy(x)
    wide = x.reshape(-1, 16, energy.dim)
    tall = x.reshape(16, -1, energy.dim)
    ancestor = torch.arange(n // 16).expand(16, -1)
    return {
        "draws": Samples(x, -u - energy.log_Z, u),
        "chains": Chains(wide, u.reshape(wide.shape[:2])),
        "populations": Populations(tall, torch.full((16, n // 16), energy.log_Z), u.reshape(16, -1), ancestor),
    }


def states(energy, samples):
    return LabelledModes.of(energy, energy.modes.label(samples.x)) if energy.modes is not None else None


@pytest.mark.parametrize("kind", ["draws", "chains", "populations"])
@pytest.mark.parametrize("energy", [DoubleWell(kT=4.0), Gaussian(10)], ids=["double well", "Gaussian"])
class TestAgainstQuadrature:
    def test_inside_the_interval(self, energy, kind):
        """log Z, <U>, C and populations within 4 errors of quadrature or a closed form."""
        samples = kinds(energy)[kind]
        known = states(energy, samples)
        interval = find_interval(samples, energy.kT, known)
        assert interval.lowest < 0.8 * energy.kT
        assert interval.highest > 1.2 * energy.kT
        temperatures = [math.sqrt(interval.lowest * energy.kT), 0.9 * energy.kT, energy.kT, 1.2 * energy.kT]
        for found in extrapolate(samples, energy.kT, temperatures, known):
            at = energy.at(found.kT)
            assert judge_temperature(found.kT, found.reach, samples, interval) == GOOD
            exact = at.log_Z - (energy.log_Z if kind == "chains" else 0.0)
            assert math.isfinite(found.log_Z[1])
            assert abs(found.log_Z[0] - exact) < 4 * found.log_Z[1] + 1e-6
            mean, capacity = exact_energy(at)
            assert abs(found.energy[0] - mean) < 4 * found.energy[1]
            assert abs(found.heat_capacity[0] - capacity) < 4 * found.heat_capacity[1]
            if known is not None:
                for value, truth in zip(found.modes, at.modes.exact, strict=True):
                    assert abs(value[0] - truth) < 4 * value[1] + 1e-6

    def test_far_outside(self, energy, kind):
        samples = kinds(energy)[kind]
        known = states(energy, samples)
        interval = find_interval(samples, energy.kT, known)
        for kT in (interval.lowest / 3, interval.highest * 4):
            (found,) = extrapolate(samples, energy.kT, [kT], known)
            assert kT not in interval
            assert judge_temperature(kT, found.reach, samples, interval).startswith("do not trust: ")


def exact_energy(energy):
    """<U> and C by numerical derivatives of log Z: <U> = kT^2 d log Z / d kT, C = d <U> / d kT."""

    def mean(kT, h=1e-4):
        return kT**2 * (energy.at(kT * (1 + h)).log_Z - energy.at(kT * (1 - h)).log_Z) / (2 * h * kT)

    kT, h = energy.kT, 1e-2
    return mean(kT), (mean(kT * (1 + h)) - mean(kT * (1 - h))) / (2 * h * kT)


@pytest.mark.parametrize(
    ("repeats", "temperatures"), [(40, [1.3]), pytest.param(300, [0.7, 1.3], marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_errors_cover(repeats, temperatures):
    """log Z, <U> and C of a Gaussian in 6 dimensions: 60 to 76 % within 3 sigma of so many repeats."""
    energy, scores = Gaussian(6), {}
    for seed in range(repeats):
        for kind, samples in kinds(energy, 1600, seed).items():
            for found in extrapolate(samples, 1.0, temperatures):
                exact = {
                    "log_Z": energy.at(found.kT).log_Z - (energy.log_Z if kind == "chains" else 0.0),
                    "energy": 3 * found.kT,
                    "heat_capacity": 3.0,
                }
                for name, truth in exact.items():
                    value, error = getattr(found, name)
                    if math.isfinite(error):
                        scores.setdefault((kind, name, found.kT), []).append(abs(value - truth) / error < 1)
    slack = 3 * math.sqrt(0.22 / repeats)
    known = {key: sum(inside) / len(inside) for key, inside in scores.items() if len(inside) > 0.8 * repeats}
    assert len(known) >= 6 * len(temperatures)
    assert not {key: share for key, share in known.items() if not 0.6 - slack < share < 0.76 + slack}


def test_correlated_chains_reach_less_far_and_have_wider_errors():
    energy = Gaussian(4)
    independent = kinds(energy, 4000)["chains"]
    repeated = Chains(independent.x.repeat_interleave(20, 0), independent.u.repeat_interleave(20, 0))
    reach, same = (find_reach(c, 1.0, 1.2) for c in (repeated, independent))
    assert reach.effective == pytest.approx(same.effective, rel=0.2)  # 20 times as many frames are worth no more
    (wide,), (own,) = (extrapolate(c, 1.0, [1.2]) for c in (repeated, independent))
    assert wide.log_Z[0] == pytest.approx(own.log_Z[0])
    assert wide.log_Z[1] == pytest.approx(own.log_Z[1], rel=0.2)


def test_particles_of_one_ancestor_are_one_sample():
    samples = kinds(Gaussian(2), 3200)["populations"]
    alike = samples._replace(ancestor=torch.zeros_like(samples.ancestor))
    assert find_reach(samples, 1.0, 1.0).effective == pytest.approx(3200)
    assert find_reach(alike, 1.0, 1.0).effective == pytest.approx(16)
    assert "only 16 effective samples" in accuse_reach(find_reach(alike, 1.0, 1.0), alike)
    few = Populations(*(a[:4] for a in samples))
    assert "only 4 populations" in accuse_reach(find_reach(few, 1.0, 1.0), few)


class TestLostStates:
    """A state without a sample is one that no weight can see."""

    def one_sided(self, kT):
        energy = DoubleWell(kT=kT)
        samples = kinds(energy, 32_000)["draws"]
        return energy, Samples(*(part[samples.x[:, 0] < 0] for part in samples))

    def test_known_to_be_there(self):
        energy, left = self.one_sided(4.0)
        known = states(energy, left)
        assert find_reach(left, 4.0, 4.0, known).lost == ("right",)
        assert find_interval(left, 4.0, known) is None
        assert "no temperature" in describe_interval(None, 4.0, str)
        assert find_interval(left, 4.0) is not None  # nothing else can see it

    def test_known_to_be_too_small(self):
        """At kT = 0.6 the right well has 2e-3 %: no sample is right, and at kT = 2 it is wrong."""
        energy = DoubleWell(kT=0.4)
        left = kinds(energy, 1600)["draws"]
        left = Samples(*(part[left.x[:, 0] < 0] for part in left))
        known = states(energy, left)
        assert find_reach(left, 0.4, 0.4, known).lost == ()
        assert find_reach(left, 0.4, 2.0, known).lost == ("right",)

    def test_of_unknown_size(self):
        energy, left = self.one_sided(4.0)
        unknown = states(energy, left)._replace(exact=lambda kT: None)
        few = Samples(*(part[:1000] for part in left))
        seen = unknown._replace(label=unknown.label[:1000])
        assert find_reach(few, 4.0, 4.0, seen).lost == ()  # a thousand samples miss a state of 0.1 %
        assert find_reach(few, 4.0, 4.4, seen).lost == ("right",)


def test_configurations_without_an_energy_have_no_weight_anywhere():
    u = torch.tensor([0.0, 1.0, math.inf, math.nan])
    log_w = weights_at(Samples(torch.zeros(4, 1), torch.zeros(4), u), 1.0, 2.0)
    assert log_w.tolist() == [0.0, -0.5, -math.inf, -math.inf]
    samples = Samples(torch.zeros(2000, 1), torch.zeros(2000), torch.cat([torch.rand(1999), torch.tensor([math.inf])]))
    (found,) = extrapolate(samples, 1.0, [1.5])
    assert all(math.isfinite(v[0]) for v in (found.log_Z, found.energy, found.heat_capacity))


def test_bad_input():
    samples = kinds(Gaussian(2), 160)["draws"]
    with pytest.raises(ValueError, match="kT must be positive, got -1"):
        extrapolate(samples, 1.0, [-1.0])
    nothing = Samples(samples.x, samples.log_q, torch.full_like(samples.u, math.inf))
    with pytest.raises(ValueError, match="no configuration has a finite energy"):
        find_reach(nothing, 1.0, 1.0)


def test_the_interval_in_words():
    interval = Interval(0.5, 2.0)
    assert 0.5 in interval
    assert 2.1 not in interval
    assert "from 0.5 to 2.0, as far as the samples are right, and not beyond" in describe_interval(interval, 1.0, str)


@pytest.mark.slow
@pytest.mark.parametrize("energy", [Gaussian(10), DoubleWell(kT=4.0)], ids=["Gaussian", "double well"])
def test_errors_cover_at_the_ends_of_the_interval(energy):
    """80 repeats of 4000 draws: samples that lack the largest weights must not claim to reach furthest."""
    inside = {}
    for seed in range(80):
        samples = kinds(energy, 4000, seed)["draws"]
        interval = find_interval(samples, energy.kT, states(energy, samples))
        for end, found in zip(("lowest", "highest"), extrapolate(samples, energy.kT, interval), strict=True):
            at = energy.at(found.kT)
            for name, truth in (("log_Z", at.log_Z), ("energy", exact_energy(at)[0])):
                value, error = getattr(found, name)
                inside.setdefault((end, name), []).append((abs(value - truth) < error, abs(value - truth) < 2 * error))
    slack = 3 * math.sqrt(0.22 / 80), 3 * math.sqrt(0.09 / 80)
    for key, pairs in inside.items():
        one, two = (sum(column) / 80 for column in zip(*pairs, strict=True))
        assert 0.6 - slack[0] < one < 0.76 + slack[0], key
        assert two > 0.9 - slack[1], key
