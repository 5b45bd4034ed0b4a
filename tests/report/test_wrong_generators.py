"""None of the wrong generators, data and energies is called good."""

import pytest
from wrong_generators import CASES

NAMES = [f"{case.wrong} / {case.known} / {case.n}" for case in CASES]


def test_there_are_enough_of_them_and_no_two_alike():
    assert len(set(NAMES)) == len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_verdict_is_right(case):
    verdict = case.judged().verdict
    assert verdict.word in case.words, verdict.reasons
    assert case.names in " ".join(verdict.reasons)
    for name in case.not_trusted:
        assert verdict.of(name).word != "trust"


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if c.words == ("do not trust",)], ids=lambda c: f"{c.wrong} / {c.known}")
def test_the_verdict_does_not_hang_on_the_seed(case):
    assert all(case.judged(seed).verdict.word == "do not trust" for seed in (10, 11, 12))
