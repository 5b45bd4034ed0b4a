"""Every law of kernels catches a move that breaks it; the wrong distributions are in tests/kernels/test_kernel_laws.py."""

import pytest
import torch

from lit_bg.energies import DoubleWell, Ising
from lit_bg.generators import CouplingFlow
from lit_bg.kernels import MALA, Independence, Langevin, Metropolis, SpinFlip
from lit_bg.testing import KERNEL_LAWS, check_kernel
from lit_bg.testing.moves import DISTRIBUTION_LAWS


class Stands(Metropolis):
    def step(self, energy, state, rng):
        _, info = super().step(energy, state, rng)
        return state, info


class Unweighed(Metropolis):
    weighted = True


class Drifts(Metropolis):
    """Adds a little to every walker, unasked."""

    def step(self, energy, state, rng):
        state, info = super().step(energy, state, rng)
        x = state.x + 0.02
        return state._replace(x=x, u=energy(x)), info


class OldEnergies(Metropolis):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(u=state.u), info


class OldGradients(MALA):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(gradient=state.gradient), info


class InPlace(Metropolis):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        state.x.copy_(new.x)
        return new, info


class KeepsGraphs(Metropolis):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(u=energy(new.x.clone().requires_grad_())), info


class GlobalNoise(Metropolis):
    def propose(self, energy, state, rng):
        return self.evaluate(energy, state.x + torch.randn_like(state.x)), torch.zeros_like(state.u)


class SameNoise(Metropolis):
    def step(self, energy, state, rng):
        return super().step(energy, state, torch.Generator().manual_seed(0))


class OneAcceptance(Metropolis):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new, info._replace(acceptance=info.acceptance.mean())


class Ratio(Metropolis):
    """Says what the Metropolis ratio is instead of the probability."""

    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new, info._replace(acceptance=2 * info.acceptance)


class KeepsDensities(Metropolis):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(log_q=state.log_q), info


class DropsWaiting(Metropolis):
    def step(self, energy, state, rng):
        new, info = super().step(energy, state, rng)
        return new._replace(waited=None), info


class Amnesia(Metropolis):
    def restore(self, memory):
        pass


class NeverForgets(Metropolis):
    def reset(self):
        if not hasattr(self, "_step"):
            super().reset()


class Counts(Metropolis):
    """Every other move is longer, by a count that nobody keeps."""

    calls = 0

    def propose(self, energy, state, rng):
        self.calls += 1
        noise = energy.space.noise(len(state.x), rng, state.x.dtype) * (1 + self.calls % 2)
        return self.evaluate(energy, state.x + self._step * noise), torch.zeros_like(state.u)


BREACHES = [
    ("exact samples stay exact", Stands(1.0), "Stands moved 0 of the walkers in 10 moves and must move 0.2"),
    ("exact samples stay exact", Unweighed(1.0), "says weighted = True and does not give Info.log_ratio"),
    (
        "exact samples stay exact",
        Drifts(1.0),
        "Drifts moved exact samples of Gaussian out of their .* <x0> = .*, exact .*, standard",
    ),
    ("wrong starts are forgotten", Metropolis(0.05), "Metropolis has not forgotten a start in one place after 30 moves"),
    ("energies of walkers", OldEnergies(1.0), "u in the state of OldEnergies is .* and must be .*, the energy of its walkers"),
    ("energies of walkers", OldGradients(1.0), "the gradient in the state of OldGradients is"),
    ("inside of others", Drifts(2.0), "Drifts inside of Cycle moves exact samples out of their distribution"),
    ("given state", InPlace(1.0), "InPlace changes 'x' of the state it is given in place"),
    ("given state", KeepsGraphs(1.0), "returns 'u' with a graph"),
    ("random numbers", GlobalNoise(1.0), "gives another 'x' for equal streams"),
    ("random numbers", SameNoise(1.0), "moves alike for different streams"),
    ("acceptance", OneAcceptance(1.0), r"has shape \(\) and must have \(50,\)"),
    ("acceptance", Ratio(1.0), "lies in .* to 2 and must in 0 to 1"),
    ("what others know", KeepsDensities(1.0), "passes on log_q of where walkers were"),
    ("what others know", DropsWaiting(1.0), "drops how long walkers have waited"),
    ("tuning", Amnesia(1.0, target_acceptance=0.3), "restore does not take up"),
    ("tuning", NeverForgets(1.0, target_acceptance=0.3), "reset leaves"),
    ("resume", Counts(1.0), "Counts goes on differently after an interruption, in 'x'"),
    ("resume", Amnesia(1.0, target_acceptance=0.3), "goes on differently after an interruption"),
]


@pytest.mark.parametrize(("law", "kernel", "sentence"), BREACHES, ids=lambda a: a if isinstance(a, str) else type(a).__name__)
def test_a_breach_is_caught_and_said(law, kernel, sentence):
    with pytest.raises(AssertionError, match=f"breaks 1 law:\n  {law}: .*{sentence}"):
        check_kernel(kernel, forgets_after=30, skip=KERNEL_LAWS.keys() - {law})


def test_every_law_of_kernels_has_a_breach():
    assert {law for law, _, _ in BREACHES} == set(KERNEL_LAWS)


def test_kernels_of_other_systems_find_one():
    few = {"walkers": 2000, "moves": 3}
    assert "resume" in check_kernel(SpinFlip(), skip=DISTRIBUTION_LAWS, **few).held
    assert "gradient" not in check_kernel(Langevin(0.3, 2), skip=DISTRIBUTION_LAWS, **few).left_out
    with pytest.raises(ValueError, match="SpinFlip moves spins, and DoubleWell has"):
        check_kernel(SpinFlip(), DoubleWell())


def test_a_generator_that_proposes_is_given():
    energy = DoubleWell(kT=4.0)
    flow = CouplingFlow(blocks=2, hidden=(16,)).build(energy).requires_grad_(False).double()
    flow.adapt(1.3 * energy.exact_samples(1000, torch.Generator().manual_seed(0)))
    checked = check_kernel(Independence(2), energy, flow, walkers=2000, moves=4)
    assert "what others know" in checked.held
    with pytest.raises(ValueError, match="Independence proposes what a generator draws, and has none"):
        check_kernel(Independence(2), Ising(3))
