"""An interrupted sampler goes on bit for bit."""

import pytest
import torch
from proposals import Normals
from springs import silent

from lit_bg.energies import DoubleWell
from lit_bg.kernels import HMC, ISIR, MALA, Cycle, Independence
from lit_bg.samplers import AIS, SMC, MarkovChains, Proposer, annealing
from lit_bg.simulators import Interrupted, Recorder


class Breaking(Recorder):
    """Interrupted, as by Ctrl-C, after so many levels or blocks."""

    def __init__(self, folder, blocks):
        self.left = blocks
        super().__init__(folder)

    @property
    def interrupted(self):
        self.left -= 1
        return self.left == 0

    @interrupted.setter
    def interrupted(self, value):
        pass


def proposer():
    energy = DoubleWell(kT=2.0)
    return Proposer(Normals(1.8).build(energy), energy)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SMC(MALA(0.4, 0.574), particles=40, pilot=40, populations=3, moves=2),
        lambda: SMC(Cycle([ISIR(3), HMC(0.2, 2)]), particles=40, pilot=40, populations=3, moves=1),
        lambda: AIS(MALA(0.4, 0.574), n=60, pilot=40),
        lambda: MarkovChains(Cycle([Independence(2), MALA(0.4, 0.574)]), frames=6, walkers=5, stride=2, burn_in=60),
    ],
    ids=["SMC", "SMC-Cycle", "AIS", "MarkovChains"],
)
def test_interruptions_change_nothing(make, tmp_path):
    """Broken off again and again until it ends: samples, numbers and the bill are the same, bit for bit."""
    whole_of = proposer()
    whole = make().run(whole_of, 3, silent)
    breaks, result, now = 0, None, None
    while result is None:
        now = proposer()  # as a new process has it
        try:
            result = make().run(now, 3, silent, Breaking(tmp_path / "a.partial", 3))
        except Interrupted:
            breaks += 1
    assert breaks >= 2
    for mine, theirs in zip(result.samples, whole.samples, strict=True):
        assert torch.equal(mine, theirs)
    timeless = {k: v for k, v in whole.info.items() if not k.endswith("per_second")}
    assert {k: v for k, v in result.info.items() if k in timeless} == timeless
    assert now.energy.n_gradients == whole_of.energy.n_gradients


def test_an_energy_that_has_changed_is_refused(tmp_path):
    sampler = SMC(MALA(0.4, 0.574), particles=40, pilot=40, populations=3, moves=2)
    with pytest.raises(Interrupted, match="at level 3 in the pilot; the same command goes on"):
        sampler.run(proposer(), 3, silent, Breaking(tmp_path / "a.partial", 3))
    other = DoubleWell(kT=3.0)
    with pytest.raises(ValueError, match="the unfinished sampling has energies that this DoubleWell does not give"):
        sampler.run(Proposer(Normals(1.8).build(other), other), 3, silent, Recorder(tmp_path / "a.partial"))


def test_a_long_level_is_left_and_the_one_before_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(annealing, "PATIENCE", -1.0)
    sampler = SMC(MALA(0.4, 0.574), particles=40, pilot=40, populations=3, moves=2)
    whole = sampler.run(proposer(), 3, silent).samples
    with pytest.raises(Interrupted, match="after level 1; the same command goes on"):
        sampler.run(proposer(), 3, silent, Breaking(tmp_path / "a.partial", 40))
    again = sampler.run(proposer(), 3, silent, Recorder(tmp_path / "a.partial")).samples
    assert torch.equal(again.x, whole.x)
    assert torch.equal(again.log_w, whole.log_w)
