"""Every way to lose trust, one at a time."""

import math

import pytest

from lit_bg.callbacks.verdict import judge


def summary(**changes):
    """A run that nothing speaks against."""
    observable = {
        "raw": 0.9,
        "reweighted": 0.967,
        "err": 0.001,
        "reference": 0.966,
        "reference_err": 0.001,
        "exact": 0.9671,
    }
    mode = {"raw": 0.9, "reweighted": 0.967, "err": 0.001, "reference": 0.9671, "reference_err": 0.0, "missing": False}
    good = {
        "n_samples": 10_000,
        "n_nonfinite": 3,
        "ess": 0.9,
        "ess_forward": 0.88,
        "pareto_k": 0.3,
        "log_Z": 11.021,
        "log_Z_err": 0.003,
        "log_Z_exact": 11.0205,
        "missing_modes": [],
        "observables": {"P": observable},
        "modes": {"left": mode},
    }
    return {**good, **changes}


def test_a_good_run_is_trusted():
    assert judge(summary()) == ("trust", [])


def row(kind, **changes):
    name = "P" if kind == "observables" else "left"
    return {kind: {name: summary()[kind][name] | changes}}


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"ess": 0.009}, "only 90 effective samples out of 10000"),
        ({"pareto_k": 0.71}, "k-hat is 0.71"),
        ({"pareto_k": math.nan}, "k-hat is unknown"),
        ({"pareto_k": None}, "k-hat is unknown"),
        ({"n_nonfinite": 200}, "200 of 10000 proposals have no finite energy"),
        ({"log_Z": 11.04}, "log Z is 11.0400"),
        ({"log_Z": -math.inf, "log_Z_err": math.nan}, "log Z is"),
        ({"exact_density": False}, "log q is a random estimate, and"),
        ({"exact_density": False, "log_q_variance": 0.36}, "of variance 0.36, which lifts log Z by about 0.18"),
        ({"missing_modes": ["right", "top"]}, "lost modes right, top"),
        ({"ess_forward": 0.1}, "forward ESS 0.1 is far below the reverse ESS 0.9"),
        (row("observables", reweighted=0.98), "P reweighted is 0.98, exact 0.9671"),
        (row("observables", exact=None, reference=0.98), "reference 0.98: 9."),
        (row("observables", reweighted=1.0, err=0.0), "P reweighted is 1"),
        (row("observables", reweighted=math.nan), "P could not be reweighted"),
        (row("modes", reweighted=0.98), r"P(left) reweighted is 0.98"),
    ],
)
def test_one_reason_is_enough(changes, because):
    verdict = judge(summary(**changes))
    assert verdict.word == "do not trust"
    assert because in " ".join(verdict.reasons)


def test_within_four_standard_errors_is_agreement():
    assert judge(summary(log_Z=11.0205 + 0.0125)).word == "trust"
    assert judge(summary(**row("observables", reweighted=0.9671 + 0.0039))).word == "trust"


def test_angles_are_compared_on_the_circle():
    angle = {"reweighted": math.pi - 0.01, "exact": 0.01 - math.pi, "reference": None, "err": 0.01}
    assert judge(summary(**row("observables", **angle))).word == "do not trust"
    assert judge(summary(**row("observables", **angle, period=2 * math.pi))).word == "trust"


def test_a_rare_event_not_seen_is_no_contradiction():
    assert judge(summary(**row("modes", reweighted=0.0, err=0.0, reference=1e-6))).word == "trust"


@pytest.mark.parametrize("witness", ["log_Z_exact", "ess_forward", "missing_modes", "exact", "reference", None])
def test_trust_needs_a_witness(witness):
    blind = summary(log_Z_exact=None, ess_forward=None, missing_modes=None, modes=None)
    observable = dict.fromkeys(["exact", "reference", "reference_err"])
    if witness in observable:
        observable[witness] = 0.967
    elif witness is not None:
        blind[witness] = summary()[witness]
    blind |= row("observables", **observable)
    assert judge(blind).word == ("unchecked" if witness is None else "trust")


def test_data_that_are_not_converged_are_no_evidence():
    """Walkers that never crossed a barrier disagree with a good run, not the run with the truth."""
    doubtful = summary(**row("observables", exact=None, reference=0.5))
    assert judge(doubtful).word == "do not trust"
    assert judge({**doubtful, "reference_problems": ["the walkers do not agree"]}).word == "trust"


def test_exact_values_stand_above_reference_data():
    assert judge(summary(**row("observables", reference=0.5))).word == "trust"


def test_the_form_of_a_tail_counts_only_with_its_size():
    """Weights between 0.9 and 1.8 are as good as equal, whatever power law their largest follow."""
    assert judge(summary(pareto_k=0.94, tail_share=0.001)).word == "trust"
    assert judge(summary(pareto_k=0.94, tail_share=0.05)).word == "do not trust"
