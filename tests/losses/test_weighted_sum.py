"""Sums of losses with weights that follow a schedule."""

import pytest
import torch
from given_frames import value_of
from jsonargparse import ArgumentParser

from lit_bg.energies import DoubleWell
from lit_bg.generators import CouplingFlow
from lit_bg.losses import ForwardKL, Loss, ReactionCoordinate, ReverseKL, Schedule, WeightedSum


def rng():
    return torch.Generator().manual_seed(0)


def test_is_the_sum_over_the_same_proposals_with_one_energy_evaluation():
    energy = DoubleWell()
    torch.manual_seed(0)
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    data = energy.exact_samples(30, rng())
    terms = [ForwardKL(), ReverseKL(), ReactionCoordinate("x1"), ReverseKL(cut=3.0)]
    total = WeightedSum(terms, [1.0, 0.5, 2.0, 0.25])
    before = energy.n_values
    result = value_of(total, flow, energy, 40, data)
    assert energy.n_values - before == 40
    alone = [value_of(term, flow, energy, 40, data) for term in terms]
    torch.testing.assert_close(result, alone[0] + 0.5 * alone[1] + 2 * alone[2] + 0.25 * alone[3])
    parts = total.parts()
    assert set(parts) == {
        "ForwardKL",
        "ReverseKL",
        "ReverseKL_dropped",
        "ReactionCoordinate",
        "ReverseKL2",
        "ReverseKL2_dropped",
    }
    torch.testing.assert_close(parts["ReverseKL2"], alone[3].detach())


def test_a_term_without_weight_costs_nothing():
    energy = DoubleWell()
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    total = WeightedSum([ForwardKL(), ReverseKL()], [[(0, 1.0), (10, 1.0)], [(5, 0.0), (10, 1.0)]])
    total.at_step(5)
    value_of(total, flow, energy, 40, energy.exact_samples(5, rng()))
    assert energy.n_values == 0
    total.at_step(6)
    value_of(total, flow, energy, 40, energy.exact_samples(5, rng()))
    assert energy.n_values == 40
    assert total.now == [1.0, pytest.approx(0.2)]


def test_needs_data_only_for_terms_with_weight():
    assert WeightedSum([ForwardKL(), ReverseKL()], [0.1, 1.0]).needs_data
    assert not WeightedSum([ForwardKL(), ReverseKL()], [0.0, 1.0]).needs_data


def test_steps_reach_the_terms():
    inner = ReverseKL(cut=[(0, 1.0), (10, 2.0)])
    WeightedSum([inner], [1.0]).at_step(10)
    assert inner.cut == 2.0


def test_yaml_gives_the_whole_of_noes_loss():
    parser = ArgumentParser(exit_on_error=False, parser_mode="omegaconf+")
    parser.add_argument("--loss", type=Loss)
    config = """
    loss:
      class_path: WeightedSum
      init_args:
        losses:
        - class_path: ForwardKL
        - {class_path: ReverseKL, init_args: {cut: [[0, 100], [1000, 1.0e+4]]}}
        - {class_path: ReactionCoordinate, init_args: {observable: x1, range: [-2, 2]}}
        weights: [1, [[0, 0.0], [200, 1.0]], 0.5]
    """
    loss = parser.instantiate_classes(parser.parse_string(config)).loss
    loss.at_step(100)
    assert [type(term).__name__ for term in loss.losses] == ["ForwardKL", "ReverseKL", "ReactionCoordinate"]
    assert loss.now == [1.0, 0.5, 0.5]
    assert loss.losses[1].cut == pytest.approx(100 + 990)
    with pytest.raises(Exception, match="weight"):
        parser.parse_string(config.replace("[1, [[0", "[heavy, [[0"))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: WeightedSum([ReverseKL()], [1.0, 2.0]), "one weight per loss, got 1 losses and 2 weights"),
        (lambda: WeightedSum([], []), "one weight per loss, got 0"),
        (lambda: WeightedSum([ReverseKL()], [-1.0]), r"weights\[0\] must not be negative, got -1.0"),
        (lambda: WeightedSum([ReverseKL()], [0.0]), "nothing to train on"),
        (lambda: Schedule([(10, 1.0), (10, 2.0)]), "increasing steps"),
        (lambda: Schedule([]), "increasing steps, got"),
        (lambda: ReverseKL(cut=float("inf")), "ReverseKL.cut needs finite numbers, got inf"),
    ],
)
def test_what_cannot_work_is_refused(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_schedules_that_leave_a_gap_stop_with_a_sentence():
    total, energy = WeightedSum([ReverseKL()], [[(0, 0.0), (10, 1.0)]]), DoubleWell()
    flow = CouplingFlow(blocks=1, hidden=(8,)).build(energy)
    with pytest.raises(ValueError, match="zero at this step: let the schedules overlap"):
        value_of(total, flow, energy, 1)
