"""One verdict for frames of walkers and for populations, on systems whose every number is known."""

import math
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch
from made_samples import anneal, walk

from lit_bg.cost import Cost
from lit_bg.data.dataset import Dataset
from lit_bg.diagnostics.independence import find_repeats
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.energies import DoubleWell, Gaussian, GaussianMixture
from lit_bg.report.assess import assess_samples
from lit_bg.report.origin import Named, SamplerRun
from lit_bg.report.table import print_summary
from lit_bg.report.verdict import reach_verdict
from lit_bg.samples import Chains, Populations, Samples
from lit_bg.simulators.base import Trajectory

HOT = DoubleWell(kT=3.0)  # crossed often
COLD = DoubleWell()  # never
FAR = GaussianMixture(means=[[-6.0, 0.0], [6.0, 0.0]], scale=1.0, weights=[0.3, 0.7])


class Bare(DoubleWell):
    """The double well of which nothing is known but its modes."""

    log_Z = None
    observables = property(lambda self: {n: o._replace(exact=None) for n, o in super().observables.items()})
    modes = property(lambda self: super().modes._replace(exact=None))


class Nameless(Bare):
    modes = None


@cache
def crossing() -> Chains:
    return walk(HOT, HOT.initial.repeat(4, 1), 2500, every=3)


@cache
def particles() -> Populations:
    return anneal(COLD, 8, 1000)


def words(judgement):
    return {claim.name: claim.word for claim in judgement.verdict.claims}


def reasons(judgement):
    return " ".join(judgement.verdict.reasons)


class TestChains:
    def test_walkers_from_both_modes_that_agree_are_trusted(self):
        found = assess_samples(Bare(kT=3.0), crossing())
        assert found.verdict.word == "trust", found.verdict.reasons
        assert set(words(found).values()) == {"trust"}
        assert "log Z" not in words(found)  # of which frames say nothing
        assert "walkers that began in different modes agree" in found.verdict.of("<x1>").reason
        for name, average in found.findings.averages.items():
            exact = HOT.observables[name].exact
            assert abs(average.value - exact) < 4 * average.error
        difference = found.findings.modes["right"]
        assert abs(difference.free_energy + math.log((1 - HOT.p_left) / HOT.p_left)) < 4 * difference.free_energy_error

    def test_walkers_that_stay_where_they_began_are_not(self):
        found = assess_samples(Bare(), walk(COLD, COLD.initial.repeat(4, 1), 800, step=0.3))
        assert found.verdict.word == "do not trust"
        assert "have not seen one distribution: R-hat is inf" in reasons(found)

    @pytest.mark.parametrize("energy", [Bare(), COLD], ids=["nothing known", "all known"])
    def test_walkers_that_stay_in_one_mode_are_not_trusted_and_it_is_said(self, energy):
        found = assess_samples(energy, walk(COLD, COLD.initial[:1].repeat(8, 1), 2500, step=0.5))
        assert found.verdict.word != "trust"
        assert "all walkers started in one mode (left)" in found.summary.samples.silence
        assert "trust" not in words(found).values()
        if energy is COLD:
            assert "no walker has found mode right" in reasons(found)
        else:
            assert "all walkers started in one mode (left)" in reasons(found) or "right" in reasons(found)

    def test_one_start_for_all_leaves_known_values_as_witnesses(self):
        chains = walk(HOT, HOT.initial[:1].repeat(8, 1), 2500, every=3)
        assert assess_samples(Bare(kT=3.0), chains).verdict.word == "unchecked"
        assert assess_samples(HOT, chains).verdict.word == "trust"

    def test_without_modes_nothing_shows_what_is_missing(self):
        found = assess_samples(Nameless(kT=3.0), crossing())
        assert found.verdict.word == "unchecked"
        assert "the energy knows no modes" in reasons(found)

    def test_a_few_crossings_are_not_enough(self):
        chains = Chains(*(t[:60] for t in crossing()[:2]), crossing().start)
        found = assess_samples(Bare(kT=3.0), chains)
        assert found.verdict.word != "trust"
        assert set(words(found).values()) <= {"unchecked", "do not trust"}

    def test_one_walker_cannot_disagree(self):
        found = assess_samples(HOT, Chains(crossing().x[:, :1], crossing().u[:, :1], HOT.initial[:1]))
        assert found.verdict.word == "unchecked"
        assert "a single walker cannot disagree" in reasons(found)

    def test_another_temperature_fails_the_virial(self):
        found = assess_samples(Bare(kT=2.0), Chains(crossing().x, crossing().u * 1.5, crossing().start))
        assert found.verdict.word == "do not trust"
        assert "the virial is" in reasons(found)
        assert "hotter" in reasons(found)

    def test_a_frozen_walker_is_no_sample(self):
        x = HOT.initial[:1].repeat(100, 4, 1)
        assert "no walker ever moves" in reasons(assess_samples(Bare(kT=3.0), Chains(x, torch.zeros(100, 4))))

    def test_copies_in_another_order_are_found_and_rejected_moves_are_not_taken_for_them(self):
        assert assess_samples(HOT, crossing()).findings.repeated == 0
        half = Chains(crossing().x[:1000], crossing().u[:1000])
        order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
        twice = Chains(torch.cat([half.x] * 2)[order], torch.cat([half.u] * 2)[order])
        found = assess_samples(HOT, twice)
        assert found.verdict.word == "do not trust"
        assert "duplicates" in reasons(found)

    def test_small_steps_are_no_copies(self):
        """In many dimensions a walker that has hardly moved is near where it was, not a copy of it."""
        energy, random = Gaussian(80), torch.Generator().manual_seed(0)
        steps = 2e-4 * torch.randn(400, 10, 80, generator=random)
        x = energy.exact_samples(10, random).float() + steps.cumsum(0)
        chains = Chains(x, energy(x.flatten(0, 1)).reshape(400, 10))
        assert find_repeats(x.flatten(0, 1)).sum() > 1000
        assert assess_samples(energy, chains).findings.repeated == 0

    def test_frames_without_a_finite_energy_are_counted(self):
        u = crossing().u.clone()
        u[::10] = math.nan
        found = assess_samples(HOT, Chains(crossing().x, u, crossing().start))
        assert "2000 of 20000 frames have no finite energy" in reasons(found)

    @pytest.mark.parametrize(("kT", "word"), [(3.0, "trust"), (2.5, "do not trust")])
    def test_reference_data_vouch_or_accuse(self, kT, word):
        energy = Nameless(kT=kT)
        x = DoubleWell(kT=kT).exact_samples(8000, torch.Generator().manual_seed(0)).reshape(1000, 8, 2)
        data = Dataset.from_trajectory(energy, Trajectory(x))
        assert data.card["verdict"] == "pass"
        found = assess_samples(energy, Chains(crossing().x, energy(crossing().x.flatten(0, 1)).reshape(2500, 8)), data)
        assert found.verdict.word == word, found.verdict.reasons
        if word == "do not trust":
            assert "in the reference data" in reasons(found)


class TestPopulations:
    def test_eight_that_agree_with_log_z_are_trusted(self):
        found = assess_samples(COLD, particles())
        assert found.verdict.word == "trust", found.verdict.reasons
        assert found.findings.ancestors >= 100
        assert words(found)["log Z"] == "trust"
        assert abs(found.findings.weights.value - COLD.log_Z) < 4 * found.findings.weights.error

    def test_log_z_from_elsewhere_vouches_for_itself_alone(self):
        found = assess_samples(Bare(), particles(), log_Z=Value(COLD.log_Z, 0.002, "quadrature"))
        assert (found.verdict.word, words(found)["log Z"], words(found)["<x1>"]) == ("trust", "trust", "unchecked")

    def test_nothing_known_is_unchecked(self):
        found = assess_samples(Bare(), particles())
        assert found.verdict.word == "unchecked"
        assert set(words(found).values()) == {"unchecked"}

    def test_four_cannot_tell(self):
        found = assess_samples(COLD, Populations(*(t[:4] for t in particles())))
        assert found.verdict.word == "unchecked"
        assert "4 populations cannot tell whether they agree (at least 8" in reasons(found)

    def test_few_ancestors_cannot_tell(self):
        ancestor = particles().ancestor % 10
        found = assess_samples(COLD, particles()._replace(ancestor=ancestor))
        assert found.verdict.word == "do not trust"
        assert "descend from 80 ancestors" in reasons(found)
        few = Populations(*(t[:, :11] for t in particles()))._replace(ancestor=torch.arange(11).repeat(8, 1))
        assert "88 distinct ancestors in all cannot tell" in reasons(assess_samples(COLD, few))

    def test_collapsed_weights_are_not_trusted(self):
        tall = particles().log_w + 9 * torch.randn(8, 1000, generator=torch.Generator().manual_seed(0))
        found = assess_samples(COLD, particles()._replace(log_w=tall))
        assert found.verdict.word == "do not trust"
        assert "collapsed" in reasons(found) or "few populations" in reasons(found)

    def test_a_copy_is_no_population(self):
        twice = Populations(*(torch.cat([t[:7], t[2:3]]) for t in particles()))
        found = assess_samples(COLD, twice)
        assert found.verdict.word == "do not trust"
        assert "1 of 8 populations are copies" in reasons(found)

    def test_populations_that_disagree_are_not_trusted(self):
        shift = torch.linspace(-1, 1, 8)[:, None]
        found = assess_samples(Bare(), particles()._replace(log_w=particles().log_w + shift))
        assert found.verdict.word == "do not trust"
        assert "do not agree on log Z" in reasons(found)

    @pytest.mark.parametrize(("energy", "word"), [(FAR, "do not trust"), (None, "unchecked")])
    def test_a_lost_mode_is_never_trusted(self, energy, word):
        """All populations begin on the left of a barrier; without known numbers nobody can tell."""
        lost = anneal(FAR, 8, 300, left=True)
        if energy is None:
            energy = GaussianMixture(means=FAR.means, scale=1.0, weights=FAR.weights)
            energy.__class__ = type("Unknown", (GaussianMixture,), {"log_Z": None, "modes": None, "observables": {}})
        assert assess_samples(energy, lost).verdict.word == word

    def test_good_ones_are_rarely_called_bad(self):
        """Of 40 at most two: at eight populations four errors are passed in about one of a hundred."""
        counted = Counter(assess_samples(COLD, anneal(COLD, 8, 300, seed=k)).verdict.word for k in range(40))
        assert counted["do not trust"] <= 2
        assert counted["trust"] >= 36


def test_draws_with_a_path_density_take_the_same_way():
    """Weights of annealed importance sampling are those of its paths."""
    p = anneal(COLD, 1, 20_000, moves=1)
    lone = Samples(p.x[0], -p.u[0] - p.log_w[0], p.u[0])
    found = assess_samples(COLD, lone)
    assert found.findings.n <= 20_000
    assert assess_samples(Bare(), lone).verdict.word != "trust"


def test_the_table_has_what_the_kind_has(capsys):
    cost = Cost(energies=60_000, gradients=0, densities=0, seconds=3.0)
    judged = assess_samples(HOT, crossing(), cost=cost)
    print_summary(judged.summary)
    said = capsys.readouterr().out
    for text in ("2500 of 8 walkers", "R-hat", "began there: 4", "virial", "60000 energies", "each effective"):
        assert text in said
    each = judged.summary.cost_per_effective_sample
    assert each.energies == pytest.approx(60_000 / judged.findings.effective)
    print_summary(assess_samples(COLD, particles(), cost=cost).summary)
    said = capsys.readouterr().out
    for text in ("8 populations of 1000", "effective ancestors", "exact 11.0205: trust"):
        assert text in said


class TestWhatTheSamplerSays:
    """One sentence of a sampler is one reason of the verdict."""

    def test_against_its_samples_speaks_against_every_number(self):
        found = assess_samples(COLD, particles(), problems=["moves are accepted in 0.5 % at s = 0.3: particles hardly move"])
        assert found.verdict.word == "do not trust"
        assert found.verdict.reasons == ("moves are accepted in 0.5 % at s = 0.3: particles hardly move.",)
        assert {claim.word for claim in found.verdict.claims} == {"do not trust"}

    def test_a_doubt_keeps_them_from_being_trusted(self):
        doubt = "not exact: Langevin has an error of its time step: HMC and MALA have none."
        found = assess_samples(Bare(kT=3.0), crossing(), problems=[doubt])
        assert found.verdict.word == "unchecked"
        assert doubt in found.verdict.reasons
        assert "trust" not in words(found).values()

    def test_is_printed_once_with_its_own_numbers(self, capsys):
        problems = ["not converged: no round trip", "not converged: 1 and 2 kT exchange in 0 %"]
        found = assess_samples(Bare(kT=3.0), crossing(), problems=problems)
        info = {"acceptance": [0.4, 0.75, 0.5], "longest_stay": 7.0, "densities": 100}
        origin = SamplerRun(Named("MarkovChains"), info, tuple(problems), None)
        print_summary(replace(found.summary, origin=origin))
        printed = " ".join(capsys.readouterr().out.split())
        assert "sampler MarkovChains, acceptance 0.4 to 0.75, longest stay 7" in printed
        for problem in problems:
            assert printed.count(problem) == 1


def test_what_is_no_samples_is_refused():
    with pytest.raises(TypeError, match="Samples, Chains or Populations, got a Tensor"):
        assess_samples(HOT, crossing().x)


def test_a_doubt_does_not_hide_a_contradiction():
    found = assess_samples(COLD, Populations(*(t[:6] for t in particles())))
    known = Knowledge(log_Z=Value(COLD.log_Z + 3, 0.0, "exact"))
    assert reach_verdict(replace(found.findings, modes=None), known).word == "do not trust"
