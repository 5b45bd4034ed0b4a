"""An interrupted simulation goes on bit for bit, and only the same simulation does."""

import signal

import pytest
import torch
from sampler_cases import SMALL, STEPWISE, Springs, silent

from lit_bg import samplers
from lit_bg.energies import DoubleWell
from lit_bg.samplers import Interrupted, Recorder


class Breaking(Recorder):
    """Interrupted, as by Ctrl-C, after so many blocks."""

    def __init__(self, folder, blocks, **arguments):
        self.left = blocks
        super().__init__(folder, **arguments)

    @property
    def interrupted(self):
        self.left -= 1
        return self.left == 0

    @interrupted.setter
    def interrupted(self, value):
        pass


@pytest.mark.parametrize("energy", [DoubleWell(3), Springs()], ids=["DoubleWell", "Springs"])
@pytest.mark.parametrize("name", STEPWISE)
def test_interruptions_change_nothing(name, energy, tmp_path):
    """Broken off again and again after two blocks, until it ends; frames, energies and numbers are the same, bit for bit."""
    simulator = SMALL[name]()
    whole = simulator.run(energy, 3, silent)
    breaks, trajectory = 0, None
    while trajectory is None:
        try:
            trajectory = simulator.run(energy, 3, silent, Breaking(tmp_path / "a.partial", 2))
        except Interrupted:
            breaks += 1
    assert breaks >= 2
    assert torch.equal(trajectory.x, whole.x)
    assert torch.equal(trajectory.u, whole.u)
    for kT, other in whole.others.items():
        assert torch.equal(trajectory.others[kT].x, other.x)
        assert torch.equal(trajectory.others[kT].u, other.u)
    timeless = {k: v for k, v in whole.info.items() if not k.endswith("per_second")}
    assert {k: v for k, v in trajectory.info.items() if k in timeless} == timeless
    assert trajectory.problems == whole.problems


def test_a_crash_loses_what_came_after_the_last_state(tmp_path):
    """Frames written after the last state are written again."""

    class Crashing(Recorder):
        def write(self, t, frames, values):
            super().write(t, frames, {k: v if t < 3 else v + 100 for k, v in values.items()})
            if t == 3:
                raise MemoryError

    simulator, energy = SMALL["Langevin"](), DoubleWell()
    with pytest.raises(MemoryError):
        simulator.run(energy, 0, silent, Crashing(tmp_path / "p", every=0.0))
    assert Recorder(tmp_path / "p").state is not None
    trajectory = simulator.run(energy, 0, silent, Recorder(tmp_path / "p"))
    assert torch.equal(trajectory.x, simulator.run(energy, 0, silent).x)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_the_state_and_say_how_to_go_on(number, tmp_path):
    simulator, sent = samplers.Metropolis(frames=100, walkers=2, stride=10, burn_in=0), []

    def progress(done, total, state):
        if done and not sent:
            sent.append(done)
            signal.raise_signal(number)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"Interrupted at step \d+ of 1000; the same command goes on .* in .*/p\."):
        simulator.run(DoubleWell(), 0, progress, Recorder(tmp_path / "p"))
    assert signal.getsignal(number) is before
    state = Recorder(tmp_path / "p").state
    assert sent[0] <= int(state["step"]) < 1000


def test_a_finished_simulation_is_not_repeated(tmp_path):
    simulator, energy = SMALL["Langevin"](), DoubleWell()
    first = simulator.run(energy, 0, silent, Recorder(tmp_path / "p")).x.clone()
    calls, energy.n_values = energy.n_values, 0
    again = simulator.run(energy, 0, silent, Recorder(tmp_path / "p"))
    assert torch.equal(again.x, first)
    assert calls <= energy.n_values <= calls + simulator.walkers  # the counters go on, and the state was checked


MINE = {"energy": {"class": "DoubleWell", "parameters": {"dim": 2}}, "seed": 0}


class TestIdentity:
    @pytest.fixture
    def folder(self, tmp_path):
        recorder = Recorder(tmp_path / "p", MINE)
        recorder.save({"step": torch.tensor(7)})
        return tmp_path / "p"

    def test_the_same_goes_on(self, folder):
        assert int(Recorder(folder, MINE).state["step"]) == 7

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"seed": 1}, "with seed = 0, not 1"),
            ({"energy": {"class": "DoubleWell", "parameters": {"dim": 3}}}, "with dim = 2, not 3"),
            ({"energy": {"class": "Gaussian", "parameters": {}}}, "with class = DoubleWell, not Gaussian"),
        ],
    )
    def test_another_is_refused(self, folder, change, words):
        with pytest.raises(ValueError, match=f"unfinished simulation {words}: .*data.force=true"):
            Recorder(folder, MINE | change)
        assert folder.exists()

    def test_unless_restarted(self, folder):
        recorder = Recorder(folder, MINE | {"seed": 1}, restart=True)
        assert recorder.state is None
        assert not folder.exists()

    def test_parameters_hidden_from_the_identity_are_found(self, tmp_path):
        simulator = SMALL["Langevin"]()
        with pytest.raises(Interrupted):
            simulator.run(DoubleWell(), 0, silent, Breaking(tmp_path / "p", 1))
        with pytest.raises(ValueError, match="its parameters have changed, so start again"):
            simulator.run(DoubleWell(a1=3.0), 0, silent, Recorder(tmp_path / "p"))


def test_memory_alone_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SMALL["Langevin"]().run(DoubleWell(), 0, silent)
    assert list(tmp_path.iterdir()) == []
