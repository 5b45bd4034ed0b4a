"""Good runs are rarely called bad, and called good where something could have contradicted them."""

import pytest
from good_runs import GOOD


def check(good, n, runs):
    words, reasons, _ = good.words(n, runs)
    assert words["do not trust"] <= 0.02 * runs, reasons
    if good.witness and n >= 2000 and not (good.name == "torus, populations" and n == 2000):
        # The torus holds 0.2 % in its second state: of 2000 proposals four, which tell nothing of it.
        assert words["trust"] >= 0.9 * runs, words
    if not good.witness:
        assert words["trust"] == 0


@pytest.mark.parametrize("good", [g for g in GOOD if not g.name.startswith("DW4")], ids=lambda g: g.name)
def test_good_runs(good):
    check(good, 2000, 8 if good.name.startswith("torus") else 25)  # a state of 0.2 % takes long to judge


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 2000, 20_000])
@pytest.mark.parametrize("good", GOOD, ids=lambda g: g.name)
def test_three_hundred_good_runs(good, n):
    check(good, n, 300)
