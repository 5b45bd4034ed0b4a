"""Every law of losses catches a loss that breaks it, and says what is wrong."""

import pytest
import torch

from lit_bg.energies import DoubleWell, Tempered
from lit_bg.generators import CouplingFlow, ReverseDiffusion
from lit_bg.losses import FlowMatching, ForwardKL, Loss, ReverseKL, ReweightedKL
from lit_bg.nets import MLPField
from lit_bg.testing import LOSS_LAWS, check_loss


class NoMean(ReverseKL):
    def forward(self, batch):
        return batch.proposals.u + batch.proposals.log_q


class Infinite(ReverseKL):
    def forward(self, batch):
        return super().forward(batch) / 0


class PartsWithGraphs(ReverseKL):
    def forward(self, batch):
        self.last = super().forward(batch)
        return self.last

    def parts(self):
        return {"all": self.last}


class Detached(ReverseKL):
    def forward(self, batch):
        return super().forward(batch).detach()


class NanGradient(ReverseKL):
    def forward(self, batch):
        p = batch.proposals
        return super().forward(batch) + (p.x[:, 0] - p.x[:, 0]).sqrt().sum()


class OnlyTheFirst(ForwardKL):
    """Sees one parameter of all."""

    def forward(self, batch):
        return next(self.generator.parameters()).square().sum() + 0 * len(batch.frames.x) + batch.frames.x.mean()


class HalfAGradient(ReverseKL):
    """Without the gradient through the energy."""

    def forward(self, batch):
        return (batch.proposals.u.detach() + batch.proposals.log_q).mean()


class HalfAScore(ReweightedKL):
    """Proposals that are held fixed, and half of the gradient of their density."""

    def forward(self, batch):
        w = batch.proposals.log_w.detach().softmax(0)
        log_q = self.generator.log_prob(batch.proposals.x)
        return -(w * (0.5 * log_q + 0.5 * log_q.detach())).sum()


class Global(ReverseKL):
    def forward(self, batch):
        return super().forward(batch) + torch.rand(())


class Constant(ReverseKL):
    def forward(self, batch):
        return sum(p.square().sum() for p in self.generator.parameters())


class Peeks(ReverseKL):
    """Counts whether another term was there first."""

    def forward(self, batch):
        first = batch.proposals._drawn is None
        return super().forward(batch) + (0.0 if first else 1.0)


class Spoils(ReverseKL):
    """Changes what all terms share."""

    def forward(self, batch):
        value = super().forward(batch)
        batch.proposals.log_q.data.add_(1.0)
        return value


class Forgets(ReverseKL):
    def build(self, generator, energy):
        super().build(generator, energy)
        return type(self)().build_anew(generator, energy)

    def build_anew(self, generator, energy):
        return super().build(generator, energy)


class Owns(ReverseKL):
    def build(self, generator, energy):
        self.trained = generator
        return super().build(generator, energy)


class BuildsEveryTime(ReverseKL):
    def forward(self, batch):
        self.build(self.generator, self.energy)
        return super().forward(batch)


class Unweighed(ForwardKL):
    def forward(self, batch):
        return -self.generator.log_prob(batch.frames.x).mean()


class SumsWeights(ForwardKL):
    def forward(self, batch):
        frames = batch.frames
        factor = 1.0 if frames.even else 2.0
        return -(factor * frames.weight * self.generator.log_prob(frames.x)).mean()


BREACHES = [
    ("finite number", NoMean(), r"NoMean has shape \(40,\) and must be a scalar"),
    ("finite number", Infinite(), "Infinite is -?inf and must be finite"),
    ("finite number", PartsWithGraphs(), "part 'all' of PartsWithGraphs has a graph"),
    ("gradient reaches", Detached(), "Detached has no graph"),
    ("gradient reaches", NanGradient(), "the gradient of NanGradient is not finite in"),
    ("gradient reaches", OnlyTheFirst(), "the gradient of OnlyTheFirst reaches .* of the parameters and must 1: not"),
    ("gradient", HalfAGradient(), "the gradient of HalfAGradient along a random direction is .* and the finite difference"),
    ("gradient", HalfAScore(), "the gradient of HalfAScore along a random direction is .* and the finite difference"),
    ("random numbers", Global(), "on one batch: draw with batch.rng"),
    ("random numbers", Constant(), "in two steps: draw with batch.rng"),
    ("beside others", Peeks(), "Peeks is .* alone, .* before and .* after another term"),
    ("beside others", Spoils(), "another term is .* before Spoils and .* after it: leave the batch as it is"),
    ("built once", Forgets(), "build of Forgets must return the loss itself"),
    ("built once", Owns(), "Owns takes trained.* of the generator or the energy for its own"),
    ("built once", BuildsEveryTime(), "BuildsEveryTime calls build in forward"),
    ("weights of frames", Unweighed(), "Unweighed changes from .* with frames of weight 0"),
    ("weights of frames", SumsWeights(), "without weights and .* with weights of 1"),
]


@pytest.mark.parametrize(("law", "loss", "sentence"), BREACHES, ids=lambda a: a if isinstance(a, str) else type(a).__name__)
def test_a_breach_is_caught_and_said(law, loss, sentence):
    with pytest.raises(AssertionError, match=f"breaks 1 law:\n  {law}: .*{sentence}"):
        check_loss(loss, skip=LOSS_LAWS.keys() - {law})


def test_every_law_of_losses_has_a_breach():
    assert {law for law, *_ in BREACHES} == set(LOSS_LAWS)


@pytest.mark.parametrize("loss", [ReverseKL(), ForwardKL(), FlowMatching()], ids=lambda loss: type(loss).__name__)
def test_a_generator_that_fits_is_found(loss):
    assert "gradient" in check_loss(loss).held


def test_conditions_are_given():
    energy = Tempered(DoubleWell(), 0.5, 4.0)
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    with torch.no_grad():
        for p in flow.parameters():
            p += 0.2 * torch.randn(p.shape)
    for loss in (ReverseKL(), ForwardKL()):
        assert "beside others" in check_loss(loss, flow, energy).held


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a generator is built for a system: give check_loss the energy"):
        check_loss(ReverseKL(), CouplingFlow())
    paths = ReverseDiffusion(MLPField((8,))).build(DoubleWell())
    with pytest.raises(ValueError, match="has no log_prob"):
        check_loss(ForwardKL(), paths, DoubleWell())

    class Picky(Loss):
        def build(self, generator, energy):
            raise ValueError("Picky takes nothing.")

        def forward(self, batch):
            return batch.proposals.u.mean()

    with pytest.raises(ValueError, match=r"Picky takes none of the small generators: give check_loss one\. Picky"):
        check_loss(Picky())
