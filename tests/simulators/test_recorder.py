"""An interrupted simulation goes on bit for bit, and only the same simulation does."""

import errno
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from simulations import ON_LINES, STEPWISE
from springs import Springs, silent

from lit_bg.energies import DoubleWell, Gaussian, Ising
from lit_bg.energies.meter import Meter
from lit_bg.identity import identify
from lit_bg.kernels import Langevin, Metropolis, SpinFlip
from lit_bg.simulators import Interrupted, Recorder, ReplicaExchange, Simulation, Temperatures


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


@pytest.mark.parametrize(
    ("make", "energy"),
    [
        *[pytest.param(make, energy, id=f"{name}-{type(energy).__name__}") for name, make in STEPWISE.items()
          for energy in (DoubleWell(3), Springs())],
        *[pytest.param(make, DoubleWell(3), id=name) for name, make in ON_LINES.items()],
        pytest.param(lambda: Simulation(SpinFlip(), 5, 4, 3, 2), Ising(3), id="SpinFlip"),
    ],
)  # fmt: skip
def test_interruptions_change_nothing(make, energy, tmp_path):
    """Broken off again and again after two blocks, until it ends; frames, energies and numbers are the same, bit for bit."""
    simulator = make()
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
    if whole.states is not None:
        assert torch.equal(trajectory.states.u, whole.states.u)
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

    simulator, energy = STEPWISE["Langevin"](), DoubleWell()
    with pytest.raises(MemoryError):
        simulator.run(energy, 0, silent, Crashing(tmp_path / "p", every=0.0))
    assert Recorder(tmp_path / "p").state is not None
    trajectory = simulator.run(energy, 0, silent, Recorder(tmp_path / "p"))
    assert torch.equal(trajectory.x, simulator.run(energy, 0, silent).x)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_the_state_and_say_how_to_go_on(number, tmp_path):
    simulator, sent = Simulation(Metropolis(0.1), frames=100, walkers=2, stride=10, burn_in=0), []

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
    simulator, energy = STEPWISE["Langevin"](), DoubleWell()
    first = simulator.run(energy, 0, silent, Recorder(tmp_path / "p")).x.clone()
    calls, energy.meter = energy.n_values, Meter()
    again = simulator.run(energy, 0, silent, Recorder(tmp_path / "p"))
    assert torch.equal(again.x, first)
    assert calls <= energy.n_values <= calls + simulator.walkers  # the counters go on, and the state was checked


def simulator():
    ladder = Temperatures(temperatures=[1.0, 2.0, 4.0], also=[2.0])
    return ReplicaExchange(Langevin(0.05, 2), ladder, frames=12, walkers=4, stride=3, burn_in=4)


class TestDamage:
    """An unfinished simulation that is not as it was saved does not go on."""

    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "p"
        with pytest.raises(Interrupted):
            simulator().run(DoubleWell(), 0, silent, Breaking(folder, 6))
        assert 2 <= Recorder(folder).written < 12
        return folder

    NAMES = ("x", "u", "u_replicas", "label_replicas", "x_kT2", "u_kT2")

    def test_every_array_is_known(self, folder):
        assert {file.stem for file in folder.glob("*.npy")} == set(self.NAMES)

    @pytest.mark.parametrize("name", NAMES)
    def test_an_array_is_missing(self, folder, name):
        (folder / f"{name}.npy").unlink()
        with pytest.raises(ValueError, match=rf"cannot go on, because its {name}.npy is missing: delete .*data.force=true"):
            Recorder(folder)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("length", [0, 10, 130, -1])
    def test_an_array_was_cut_short(self, folder, name, length):
        content = (folder / f"{name}.npy").read_bytes()
        (folder / f"{name}.npy").write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"its {name}.npy was cut short or damaged"):
            Recorder(folder)
        assert (folder / f"{name}.npy").read_bytes() == content[:length]  # and it was not lengthened by looking at it

    @pytest.mark.parametrize("other", [lambda a: a.astype(np.float64), lambda a: a[:, :-1], lambda a: np.asfortranarray(a)])
    def test_an_array_is_of_another_kind(self, folder, other):
        np.save(folder / "x.npy", other(np.load(folder / "x.npy")))
        with pytest.raises(ValueError, match=r"its x.npy holds float\d\d \(4, 1\d, 2\).*, and float32 \(4, 12, 2\) were rec"):
            Recorder(folder)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("value", [0.0, np.nan, 1.25])
    @pytest.mark.parametrize("frame", [0, -1])
    def test_a_frame_is_another(self, folder, name, value, frame):
        last = Recorder(folder).written - 1
        array = np.load(folder / f"{name}.npy")
        old = array[2:3, last if frame else 0]
        old[...] = value if (old != value).any() else 1.0
        np.save(folder / f"{name}.npy", array)
        with pytest.raises(ValueError, match=rf"the {last + 1} frames in its {name}.npy are not as they were saved"):
            Recorder(folder)

    def test_frames_after_the_state_may_be_anything(self, folder):
        array = np.load(folder / "x.npy")
        array[:, Recorder(folder).written :] = np.nan
        np.save(folder / "x.npy", array)
        trajectory = simulator().run(DoubleWell(), 0, silent, Recorder(folder))
        assert torch.equal(trajectory.x, simulator().run(DoubleWell(), 0, silent).x)

    @pytest.mark.parametrize(
        "change",
        [
            lambda content: content["state"].pop("state.rows.velocity"),
            lambda content: content["state"].update({"state.rows.velocity": torch.zeros(1)}),
            lambda content: content["state"]["x"].mul_(2),
            lambda content: content.pop("arrays"),
            lambda content: content["arrays"].pop("x"),
            lambda content: content.update(frames=content["frames"] + 1),
            lambda content: content.update(state=None),
        ],
    )
    def test_the_state_is_another(self, folder, change):
        content = torch.load(folder / "state.pt", weights_only=True)
        change(content)
        torch.save(content, folder / "state.pt")
        with pytest.raises(ValueError, match=r"cannot go on, because (its state.pt|the \d+ frames)"):
            Recorder(folder)

    @pytest.mark.parametrize("file", ["state.pt", "identity.json"])
    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not the whole"])
    def test_a_file_was_cut_short(self, folder, file, content):
        (folder / file).write_bytes(content)
        with pytest.raises(ValueError, match=f"cannot go on, because its {file}"):
            Recorder(folder)

    def test_a_state_of_before_checksums(self, folder):
        torch.save(torch.load(folder / "state.pt", weights_only=True)["state"], folder / "state.pt")
        with pytest.raises(ValueError, match="cannot be read"):
            Recorder(folder)

    def test_it_is_thrown_away_when_asked_for(self, folder):
        (folder / "u.npy").unlink()
        recorder = Recorder(folder, restart=True)
        assert (recorder.state, recorder.written, recorder.arrays) == (None, 0, {})
        trajectory = simulator().run(DoubleWell(), 0, silent, recorder)
        assert torch.equal(trajectory.x, simulator().run(DoubleWell(), 0, silent).x)

    def test_an_empty_folder_holds_nothing(self, tmp_path):
        assert Recorder(tmp_path, MINE).state is None


def test_two_processes_do_not_record_into_one_folder(tmp_path):
    recorder = Recorder(tmp_path / "p", MINE)
    recorder.save({"step": torch.tensor(7)})
    code = (
        "import sys; from pathlib import Path; from lit_bg.simulators import Recorder\n"
        f"try: Recorder(Path({str(tmp_path / 'p')!r}), restart=True)\nexcept ValueError as error: sys.exit(str(error))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert other.returncode == 1
    assert "another process is writing to" in other.stderr
    assert Recorder(tmp_path / "p", MINE).state is not None  # not even with restart=True


class TestFullDisk:
    def test_the_space_of_all_frames_is_reserved(self, tmp_path):
        Recorder(tmp_path / "p").write(0, 1000, {"x": torch.zeros(10, 50)})
        assert (tmp_path / "p" / "x.npy").stat().st_blocks * 512 >= 4 * 1000 * 10 * 50

    @pytest.mark.parametrize("reason", [errno.EOPNOTSUPP, errno.EINVAL, None])
    def test_so_it_is_where_the_file_system_reserves_none(self, tmp_path, monkeypatch, reason):
        def unsupported(*_):
            raise OSError(reason, "unsupported")

        if reason is None:
            monkeypatch.delattr(os, "posix_fallocate")
        else:
            monkeypatch.setattr(os, "posix_fallocate", unsupported)
        recorder = Recorder(tmp_path / "p")
        recorder.write(0, 1000, {"x": torch.ones(10, 50)})
        assert (tmp_path / "p" / "x.npy").stat().st_blocks * 512 >= 4 * 1000 * 10 * 50
        assert recorder.frames("x")[0].eq(1).all()
        recorder.save({})
        assert Recorder(tmp_path / "p").frames("x")[0].eq(1).all()

    def test_without_it_nothing_is_left(self, tmp_path, monkeypatch):
        fail_at(monkeypatch, 2)
        with pytest.raises(OSError, match="No space left"):
            Recorder(tmp_path / "p").write(0, 10, {"x": torch.zeros(3, 2), "u": torch.zeros(3)})
        assert list(tmp_path.iterdir()) == []

    def test_the_state_before_it_stands(self, tmp_path, monkeypatch):
        """Burn-in is not lost: the simulation goes on from its state, bit for bit."""
        with monkeypatch.context() as patch:
            fail_at(patch, 3)
            with pytest.raises(OSError, match="No space left"):
                simulator().run(DoubleWell(), 0, silent, Recorder(tmp_path / "p", every=0.0))
        assert sorted(f.name for f in (tmp_path / "p").iterdir()) == ["identity.json", "lock", "state.pt"]
        assert Recorder(tmp_path / "p").state is not None
        trajectory = simulator().run(DoubleWell(), 0, silent, Recorder(tmp_path / "p"))
        assert torch.equal(trajectory.x, simulator().run(DoubleWell(), 0, silent).x)

    def test_a_state_that_does_not_fit(self, tmp_path):
        """In a process that may write no more: an OSError, the last state whole, and no temporary file."""
        recorder = Recorder(tmp_path / "p")
        recorder.save({"step": torch.tensor(7)})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
            with pytest.raises(OSError) as full:
                recorder.save({"step": torch.zeros(10_000)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        assert full.value.errno == errno.EFBIG
        assert int(Recorder(tmp_path / "p").state["step"]) == 7
        assert sorted(f.name for f in (tmp_path / "p").iterdir()) == ["identity.json", "lock", "state.pt"]


def fail_at(monkeypatch, call):
    """The disk is full at one of the reservations."""
    calls = []

    def full(*_):
        calls.append(1)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)


MINE = {"energy": identify(DoubleWell()), "seed": 0}


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
            ({"energy": identify(DoubleWell(3))}, "with energy.dim = 2, not 3"),
            ({"energy": identify(Gaussian())}, "with energy = DoubleWell, not Gaussian"),
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
        simulator = STEPWISE["Langevin"]()
        with pytest.raises(Interrupted):
            simulator.run(DoubleWell(), 0, silent, Breaking(tmp_path / "p", 1))
        with pytest.raises(ValueError, match="its parameters have changed, so start again"):
            simulator.run(DoubleWell(a1=3.0), 0, silent, Recorder(tmp_path / "p"))


def test_memory_alone_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    STEPWISE["Langevin"]().run(DoubleWell(), 0, silent)
    assert list(tmp_path.iterdir()) == []
