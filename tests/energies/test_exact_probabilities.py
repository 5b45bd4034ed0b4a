"""What modes take for exact probabilities."""

import copy
import pickle

import pytest
import torch

from lit_bg.energies import Modes


def sides(x):
    return (x[..., 0] > 0).long()


@pytest.mark.parametrize("exact", [(0.75, 0.25), [0.75, 0.25], torch.tensor([0.75, 0.25])], ids=["tuple", "list", "tensor"])
def test_any_sequence_of_numbers_is_a_tensor(exact):
    modes = Modes(("left", "right"), sides, exact)
    for found in (modes, copy.deepcopy(modes), pickle.loads(pickle.dumps(modes)), modes._replace(names=("l", "r"))):
        assert torch.equal(found.exact.double(), torch.tensor([0.75, 0.25], dtype=torch.float64))
        assert found.label(torch.ones(1, 2)).tolist() == [1]


@pytest.mark.parametrize("exact", [(1.0,), 0.5, [[0.5, 0.5]]])
def test_not_one_for_each_name_is_refused(exact):
    with pytest.raises(ValueError, match=r"one exact probability for each of its 2 names \(left, right\), got a shape of"):
        Modes(("left", "right"), sides, exact)
