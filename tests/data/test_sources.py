"""Sources of training frames: what they draw, and what checkpoints hold of them."""

import math

import numpy
import pytest
import torch

from lit_bg.data import BalancedData, Dataset, ExactSamples, ReferenceData
from lit_bg.data.module import Data
from lit_bg.energies import DW4, DoubleWell, Gaussian, Tempered
from lit_bg.simulators.base import Trajectory


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def dataset(seed=0):
    energy = DoubleWell()
    return Dataset.from_trajectory(energy, Trajectory(energy.exact_samples(200, rng(seed)).reshape(50, 4, 2)))


def test_reference_data_draw_frames_of_the_data_with_weight_one():
    data = dataset()
    frames = ReferenceData(data).draw(30, rng(3))
    assert torch.equal(frames.x, data.batch(30, rng(3)))
    assert torch.equal(frames.weight, torch.ones(30))
    assert frames.even
    assert frames.context is None
    under = ReferenceData(data, torch.tensor([0.7], dtype=torch.float64)).draw(30, rng(3))
    torch.testing.assert_close(under.context, torch.full((30, 1), 0.7))


def test_other_reference_data_are_refused():
    saved = ReferenceData(dataset()).state_dict()
    assert saved["frames"] == 200
    ReferenceData(dataset()).to("cpu").load_state_dict(saved)
    with pytest.raises(ValueError, match=r"trained on 200 frames with checksum \w+, and the reference data give 200 with"):
        ReferenceData(dataset(1)).load_state_dict(saved)
    data = Data()
    data.train = dataset()
    saved = data.save_sources()
    assert saved["class"] == "ReferenceData"
    with pytest.raises(ValueError, match="frames of ReferenceData, and this run has ExactSamples"):
        Data(source=ExactSamples()).load_sources(saved)
    Data().load_sources(saved)  # without training frames there is nothing to go on with
    data.load_sources({})


def test_exact_samples_under_conditions_are_those_of_each():
    energy = Tempered(DoubleWell(), 0.5, 4.0)
    source = ExactSamples().build(energy)
    frames = source.draw(4000, rng())
    assert torch.equal(frames.x, source.draw(4000, rng()).x)
    kT = frames.context[:, 0]
    assert len(kT.unique()) == 8
    assert (kT.min() >= 0.5) & (kT.max() <= 4.0)
    # x2 is normal with variance kT, and P(x1 > 0) is known at every kT
    chi = (frames.x[:, 1] ** 2 / kT).mean().item()
    assert abs(chi - 1) < 4 * math.sqrt(2 / 4000)
    right = (frames.x[:, 0] > 0).double()
    p = torch.tensor([1 - energy.given([k]).p_left for k in kT.double().tolist()])
    assert abs((right - p).mean()) < 4 * math.sqrt((p * (1 - p)).sum()) / 4000
    assert source.draw(3, rng()).x.shape == (3, 2)


def test_exact_samples_of_a_system_without_conditions():
    frames = ExactSamples().build(DoubleWell()).draw(7, rng(2))
    assert torch.equal(frames.x, DoubleWell().exact_samples(7, rng(2)))
    assert frames.context is None
    with pytest.raises(ValueError, match=r"DW4 has no exact samples: simulate it and give data\.path"):
        ExactSamples().build(DW4())


def test_a_source_stands_in_for_a_path():
    data = Data(source=ExactSamples())
    data.prepare(DoubleWell(), needs_data=True)
    assert data.frames is data.source
    assert data.look(rng()).shape == (10_000, 2)
    with pytest.raises(ValueError, match=r"data\.path is not set"):
        Data().prepare(DoubleWell(), needs_data=True)


def test_balanced_data_give_every_mode_its_share():
    energy, data = DoubleWell(), dataset()
    right = data.x[:, 0] > 0
    assert 0 < right.double().mean() < 0.1
    source = BalancedData(0.3).build(energy)
    source.take(data)
    frames = source.draw(20_000, rng(3))
    share = (frames.x[:, 0] > 0).double().mean().item()
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 20_000)
    assert torch.equal(frames.x, source.draw(20_000, rng(3)).x)
    assert frames.even
    assert frames.x.unique(dim=0).shape == data.x.unique(dim=0).shape  # every frame comes, within a mode as often as any other
    count = torch.stack([(frames.x == x).all(1).sum() for x in data.x[~right][:20]]).double()
    expected = 14_000 / int((~right).sum())
    assert ((count - expected).abs() < 4.5 * math.sqrt(expected)).all()
    assert set(map(tuple, frames.x.tolist())) <= set(map(tuple, data.x.tolist()))


def test_balanced_data_in_a_run_and_in_checkpoints():
    data = Data(source=BalancedData(0.3))
    with pytest.raises(ValueError, match=r"BalancedData draws from reference data and there are none: set data\.path"):
        data.prepare(DoubleWell(), needs_data=True)
    with pytest.raises(ValueError, match=r"a share of least_share, which must be above 0 and at most 0\.5, got 0\.6"):
        BalancedData(0.6).build(DoubleWell()).take(dataset())
    with pytest.raises(ValueError, match="Gaussian knows no modes"):
        BalancedData(0.3).build(Gaussian(2)).take(dataset())

    def taken(share, seed=0):
        source = BalancedData(share).build(DoubleWell())
        source.take(dataset(seed))
        return source

    saved = taken(0.3).state_dict()
    taken(0.3).to("cpu").load_state_dict(saved)
    with pytest.raises(ValueError, match=r"modes of a share of 0\.3 or more, and this run has 0\.4"):
        taken(0.4).load_state_dict(saved)
    with pytest.raises(ValueError, match="trained on 200 frames with checksum"):
        taken(0.3, seed=1).load_state_dict(saved)


def test_a_run_hands_the_training_part_to_its_source(tmp_path):
    dataset().save(tmp_path / "x.npz")
    data = Data(path=str(tmp_path / "x.npz"), source=BalancedData(0.3), force=True)
    data.prepare(DoubleWell(), needs_data=True)
    drawn = set(map(tuple, data.frames.draw(5000, rng()).x.tolist()))
    assert drawn == set(map(tuple, data.train.x.tolist()))
    assert not drawn & set(map(tuple, data.held.x.tolist()))
    assert ((data.look(rng())[:, 0] > 0).double().mean() - 0.3).abs() < 0.03


def ladder(tmp_path, frames=400, walkers=10):
    """Exact samples at kT = 1, 1.5 and 2.5, as a ladder would leave them."""
    for kT in (1.0, 1.5, 2.5):
        energy = DoubleWell(kT=kT)
        x = energy.exact_samples(frames * walkers, rng(int(10 * kT))).reshape(frames, walkers, 2)
        Dataset.from_trajectory(energy, Trajectory(x)).save(tmp_path / f"x_{kT}.npz")
    return Data(path=str(tmp_path / "x_1.0.npz"), force=True), [str(tmp_path / f"x_{kT}.npz") for kT in (1.5, 2.5)]


def test_hotter_frames_count_by_their_weight_in_the_target(tmp_path):
    data, hotter = ladder(tmp_path)
    data.source = BalancedData(0.001, hotter)
    energy = DoubleWell()
    data.prepare(energy, needs_data=True)
    x = data.frames.draw(40_000, rng(5)).x
    pooled = data.source.reference.dataset
    assert len(pooled) == 3 * len(data.train)
    assert not set(map(tuple, pooled.x.tolist())) & set(map(tuple, data.held.x.tolist()))
    assert not set(pooled.walker.tolist()) & set(data.held.walker.tolist())  # of the same ladders, at every temperature
    # the floor does nothing here, so they are of the target: x2 is normal with variance one, P(right) is known
    w = data.source.weight.diff(prepend=torch.zeros(1, dtype=torch.float64))
    effective = 1 / (w**2).sum().item()
    assert effective > 1.3 * len(data.train)
    p = 1 - energy.p_left
    share = (x[:, 0] > 0).double().mean().item()
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) * (1 / effective + 1 / 40_000))
    assert abs((x[:, 1] ** 2).mean().item() - 1) < 4 * math.sqrt(2 * (1 / effective + 1 / 40_000))
    torch.testing.assert_close(pooled.u, energy(pooled.x), atol=1e-3, rtol=1e-3)
    # of the rare well there is more than the cold data hold
    right = pooled.x[:, 0] > 0
    cold = int((data.train.x[:, 0] > 0).sum())
    assert (w[right].sum() ** 2 / (w[right] ** 2).sum()).item() > 1.5 * cold


def test_hotter_frames_that_are_none(tmp_path):
    data, hotter = ladder(tmp_path, frames=20)
    data.source = BalancedData(0.3, [*hotter, str(tmp_path / "nowhere.npz")])
    with pytest.raises(FileNotFoundError, match=r"no data file .*nowhere\.npz: name temperatures in `also`"):
        data.prepare(DoubleWell(), needs_data=True)
    numpy.save(tmp_path / "bare.npy", data.train.x.numpy())
    with pytest.raises(ValueError, match=r"bare\.npy does not say at which temperature"):
        BalancedData(0.3, [str(tmp_path / "bare.npy")]).build(DoubleWell()).take(data.train)
    with pytest.raises(ValueError, match="are for a1"):
        BalancedData(0.3, hotter).build(DoubleWell(a1=0.5)).take(data.train)
