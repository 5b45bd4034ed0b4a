"""When a mode counts as missing."""

import math

import pytest
import torch

from lit_bg.callbacks.mode_coverage import mode_table
from lit_bg.energies.base import Modes

TWO = Modes(("a", "b"), lambda x: x.long())


def table(n_a, n_b, log_w_b=0.0, reference=((0.5, 0.0), (0.5, 0.0)), none=0):
    """Samples in each of two modes, those in the second with another weight."""
    label = torch.cat([torch.zeros(n_a), torch.ones(n_b), -torch.ones(none)]).long()
    log_w = torch.where(label == 1, torch.tensor(log_w_b, dtype=torch.float64), 0.0)
    return mode_table(TWO, label, log_w, list(reference))


def test_both_found():
    rows = table(500, 500)
    assert rows["a"]["reweighted"] == pytest.approx(0.5)
    assert rows["a"]["err"] == pytest.approx(math.sqrt(0.25 / 1000 + 1e-6))  # one more sample may move it by its own weight
    assert not rows["a"]["missing"]
    assert not rows["b"]["missing"]


def test_a_mode_without_samples_is_missing():
    rows = table(1000, 0)
    assert rows["b"]["missing"]
    assert rows["b"]["err"] == pytest.approx(1e-3)  # one sample's weight: the estimate is nearly certain, and wrong
    assert not rows["a"]["missing"]


def test_a_mode_found_rarely_and_reweighted_right_is_not_missing():
    rows = table(9500, 500, log_w_b=math.log(19))
    assert rows["b"]["raw"] == pytest.approx(0.05)
    assert rows["b"]["reweighted"] == pytest.approx(0.5)
    assert not rows["b"]["missing"]


def test_a_mode_with_too_little_mass_is_missing():
    assert table(9900, 100)["b"]["missing"]  # 1 % instead of 50 %
    assert not table(9000, 1000)["b"]["missing"]  # wrong, and not missing: the verdict compares values


def test_a_mode_too_rare_to_be_expected_is_not_missing():
    assert not table(1000, 0, reference=((0.991, 0.0), (0.009, 0.0)))["b"]["missing"]  # 9 expected
    assert table(1000, 0, reference=((0.989, 0.0), (0.011, 0.0)))["b"]["missing"]  # 11 expected


def test_poor_reference_data_accuse_nobody():
    assert not table(1000, 0, reference=((0.95, 0.05), (0.05, 0.05)))["b"]["missing"]


def test_few_effective_samples_accuse_nobody():
    # One sample of the first mode holds nearly all the weight: the second mode's mass says nothing.
    label = torch.cat([torch.zeros(1), torch.ones(999)]).long()
    log_w = torch.where(label == 0, torch.tensor(20.0, dtype=torch.float64), 0.0)
    assert not mode_table(TWO, label, log_w, [(0.5, 0.0), (0.5, 0.0)])["b"]["missing"]


def test_without_a_reference_an_empty_mode_is_missing():
    rows = table(1000, 0, reference=(None, None))
    assert rows["b"]["missing"]
    assert rows["b"]["reference"] is None
    assert not table(999, 1, reference=(None, None))["b"]["missing"]


def test_samples_in_no_mode_count_in_the_norm():
    assert table(500, 250, none=250)["b"]["raw"] == pytest.approx(0.25)
