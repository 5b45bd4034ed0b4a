"""Every way to lose trust, one at a time, and what it takes to earn it."""

import math
from dataclasses import replace

import pytest

from lit_bg.diagnostics.averages import Average
from lit_bg.diagnostics.independence import EffectiveDraws
from lit_bg.diagnostics.knowledge import Knowledge, Value
from lit_bg.diagnostics.modes import ModeShare
from lit_bg.diagnostics.proposals import Density, ProposalFindings
from lit_bg.diagnostics.weights import Forward, Weights
from lit_bg.estimators import Tail
from lit_bg.report.tails import describe_tail
from lit_bg.report.verdict import reach_verdict

FINE = Tail(0.2, 0.05, 0.1)
HEAVY = Tail(1.1, 0.1, 0.3)
WEIGHTS = Weights(0.9, 0.01, True, FINE, 1e-3, 11.021, 0.003)
FORWARD = Forward(5000, 0.88, 0.02, True, 11.02, 0.004, 0.0)
LEFT = ModeShare(0.9, 0.967, 0.002, None, 8000.0, 1e-4, FINE, False)
RIGHT = ModeShare(0.1, 0.033, 0.002, None, 500.0, 1e-4, FINE, False, 3.38, 0.06)
EXACT = Value(0.967, 0.0, "exact")


def found(**changes):
    """Findings that nothing speaks against: two modes, of which one observable knows."""
    good = ProposalFindings(
        independence=EffectiveDraws(10_000, 10_000, 1.0),
        n_nonfinite=3,
        n_outside=0,
        weights=WEIGHTS,
        density=Density(shift=0.0, scatter=1e-4, worst=1e-3, compared=64),
        averages={"a": Average(0.9, 0.001, 0.967, 0.002, FINE)},
        without={"a": {"left": 0.0, "right": 1.0}},
        modes={"left": LEFT, "right": RIGHT},
    )
    return replace(good, **changes)


def average(**changes):
    return {"averages": {"a": replace(found().averages["a"], **changes)}}


KNOWN = Knowledge(
    log_Z=Value(11.0205, 0.0, "exact"),
    exact={"a": EXACT},
    populations={"left": EXACT, "right": Value(0.033, 0.0, "exact")},
)
DATA = Knowledge(
    reference={"a": Value(0.966, 0.002, "data")},
    reference_populations={"left": Value(0.966, 0.002, "data"), "right": Value(0.034, 0.002, "data")},
    quality="pass",
)


def test_a_good_run_is_trusted_in_every_claim():
    verdict = reach_verdict(found(), KNOWN)
    assert (verdict.word, verdict.reasons) == ("trust", ())
    assert {c.name: c.word for c in verdict.claims} == dict.fromkeys(
        ["log Z", "<a>", "P(left)", "P(right)", "F(right) - F(left)"], "trust"
    )


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"weights": replace(WEIGHTS, ess=0.009)}, "only 90 effective samples out of 10000"),
        ({"weights": replace(WEIGHTS, tail=HEAVY)}, "k-hat of the weights is 1.10"),
        ({"n_nonfinite": 200}, "200 of 10000 proposals have no finite energy"),
        ({"n_outside": 200}, "200 of 10000 proposals lie outside the region"),
        ({"weights": replace(WEIGHTS, log_Z=11.04)}, "log Z is 11.0400 with error 0.0030, exact is 11.0205"),
        ({"weights": replace(WEIGHTS, log_Z=11.0)}, "log Z is 11.0000"),
        ({"density": Density(exact=False)}, "log q is a random estimate, and"),
        ({"density": Density(exact=False, variance=0.36)}, "of variance 0.36, which lifts log Z by about 0.18"),
        ({"density": Density(shift=0.1, scatter=0.0, worst=0.1, compared=64)}, "is +0.1 nats from the log q that came with x"),
        ({"density": Density(shift=0.0, scatter=0.5, worst=1.0, compared=64)}, "by a noise of 0.5 nats"),
        ({"density": Density(shift=0.0, scatter=0.0, worst=math.inf, compared=64)}, "gives a proposal no density"),
        ({"modes": {"left": LEFT, "right": replace(RIGHT, lost=True)}}, "lost mode right"),
        ({"independence": EffectiveDraws(10_000, 9_000, 1.0)}, "1000 of 10000 proposals repeat another"),
        ({"independence": EffectiveDraws(10_000, 10_000, 4.0)}, "10000 are worth 2500"),
        (average(value=0.98), "<a> reweighted is 0.98, exact 0.967: 6.5 standard errors apart"),
        (average(tail=HEAVY), "k-hat of w |a - <a>| of <a> is 1.10"),
        (average(value=math.nan), "<a> could not be reweighted"),
        ({"modes": {"left": replace(LEFT, value=0.94), "right": RIGHT}}, "P(left) reweighted is 0.94, exact 0.967"),
        ({"modes": {"left": LEFT, "right": replace(RIGHT, inside=HEAVY)}}, "of P(right) is 1.10"),
    ],
)
def test_one_reason_is_enough(changes, because):
    verdict = reach_verdict(found(**changes), KNOWN)
    assert verdict.word == "do not trust"
    assert because in " ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("forward", "because"),
    [
        (replace(FORWARD, unproposed=0.3), "30.0% of the reference frames"),
        (replace(FORWARD, ess=0.01), "forward ESS 0.01 is far below the reverse ESS 0.9"),
        (replace(FORWARD, log_Z=11.1), "a lost mode or region"),
        (replace(FORWARD, log_Z=10.9), "not the same function"),
        (replace(FORWARD, log_Z=10.9, ess=0.99, ess_error=0.001), "noise in log q"),
    ],
)
def test_data_that_passed_speak_against(forward, because):
    run = found(forward=forward)
    assert because in " ".join(reach_verdict(run, DATA).reasons)
    assert reach_verdict(run, replace(DATA, quality="refuted")).word == "unchecked"


def test_frames_that_are_never_proposed_count_even_where_walkers_do_not_agree():
    run = found(forward=replace(FORWARD, unproposed=0.3))
    assert reach_verdict(run, replace(DATA, quality="not converged")).word == "do not trust"
    assert reach_verdict(found(forward=replace(FORWARD, ess=0.01)), replace(DATA, quality="not converged")).word == "unchecked"


def test_data_without_a_pass_are_no_witness():
    run = found(forward=FORWARD)
    assert reach_verdict(run, DATA).word == "trust"
    for quality in ("not converged", "refuted"):
        verdict = reach_verdict(run, replace(DATA, quality=quality, problems=("not converged: too short",)))
        assert verdict.word == "unchecked"
        assert "no witness, by their own card: not converged: too short" in " ".join(verdict.reasons)
        wrong = replace(found(**average(value=0.5)), forward=FORWARD)
        assert reach_verdict(wrong, replace(DATA, quality=quality)).word == "unchecked"


def test_within_four_standard_errors_is_agreement():
    assert reach_verdict(found(weights=replace(WEIGHTS, log_Z=11.0205 + 0.0125)), KNOWN).word == "trust"
    assert reach_verdict(found(**average(value=0.967 + 0.0079)), KNOWN).word == "trust"


def test_angles_are_compared_on_the_circle():
    known = replace(KNOWN, exact={"a": Value(0.01 - math.pi, 0.0, "exact")})
    assert reach_verdict(found(**average(value=math.pi - 0.01, error=0.01)), known).word == "do not trust"
    assert reach_verdict(found(**average(value=math.pi - 0.01, error=0.01, period=2 * math.pi)), known).word == "trust"


def test_nothing_known_is_unchecked():
    verdict = reach_verdict(found(), Knowledge())
    assert verdict.word == "unchecked"
    assert "could have shown a lost mode" in verdict.reasons[-1]
    assert {c.word for c in verdict.claims} == {"unchecked"}


def test_an_exact_value_that_is_the_same_in_all_modes_is_no_witness():
    known = Knowledge(exact={"a": EXACT})
    blind = found(without={"a": {"left": 0.967, "right": 0.967}})
    assert reach_verdict(found(), known).word == "trust"
    verdict = reach_verdict(blind, known)
    assert verdict.word == "unchecked"
    assert "<a>) cannot see a lost mode" in verdict.reasons[0]
    assert reach_verdict(replace(blind, modes=None), known).word == "unchecked"


def test_an_exact_value_that_differs_between_modes_vouches_for_their_probabilities():
    words = {c.name: c.word for c in reach_verdict(found(), Knowledge(exact={"a": EXACT})).claims}
    assert words == {
        "log Z": "unchecked",
        "<a>": "trust",
        "P(left)": "trust",
        "P(right)": "trust",
        "F(right) - F(left)": "trust",
    }


def test_log_z_alone_vouches_for_no_average():
    """It says that nothing is lost, and not that the proposals are drawn from the log q that they come with."""
    verdict = reach_verdict(found(), Knowledge(log_Z=Value(11.0205, 0.0, "exact")))
    words = {c.name: c.word for c in verdict.claims}
    assert (verdict.word, words["log Z"], words["<a>"], words["P(right)"]) == ("trust", "trust", "unchecked", "unchecked")


def test_a_vague_log_z_is_no_witness():
    vague = Knowledge(log_Z=Value(11.0, 0.5, "a guess"))
    assert reach_verdict(found(), vague).word == "unchecked"
    assert "would hide a lost mode" in reach_verdict(found(), vague).of("log Z").reason
    sharp = Knowledge(log_Z=Value(11.02, 0.001, "thermodynamic integration"))
    assert reach_verdict(found(), sharp).of("log Z").word == "trust"
    off = Knowledge(log_Z=Value(11.2, 0.001, "thermodynamic integration"))
    assert "thermodynamic integration gives 11.2" in reach_verdict(found(), off).reasons[0]


def test_data_cannot_normalise_log_q():
    verdict = reach_verdict(found(forward=FORWARD), DATA)
    assert verdict.of("log Z").word == "unchecked"
    assert "nothing shows that log q is normalised" in verdict.of("log Z").reason


def test_a_number_without_an_error_bar_is_no_claim():
    verdict = reach_verdict(found(**average(error=math.inf, tail=Tail(0.8, 0.2, 0.3))), KNOWN)
    assert verdict.word == "trust"  # by the others
    assert verdict.of("<a>") == ("<a>", "unchecked", "<a> has no honest error bar (k-hat 0.80).")


def test_a_tail_counts_only_with_its_size():
    """Weights between 0.9 and 1.8 are as good as equal, whatever power law their largest follow."""
    small = Tail(0.94, 0.05, 0.0005)
    assert reach_verdict(found(weights=replace(WEIGHTS, tail=small)), KNOWN).word == "trust"
    assert reach_verdict(found(weights=replace(WEIGHTS, tail=small._replace(share=0.05))), KNOWN).word == "do not trust"
    assert describe_tail(small) == "0.94, ignored: its tail holds 0.05 % of the sum"


def test_a_k_hat_within_its_error_of_the_limit_accuses_nobody():
    assert reach_verdict(found(weights=replace(WEIGHTS, tail=Tail(0.85, 0.2, 0.3))), KNOWN).word == "trust"


def test_a_rare_mode_that_few_proposals_cannot_hold_is_unchecked():
    few = EffectiveDraws(300, 300, 1.0)
    known = replace(
        KNOWN, log_Z=None, exact={}, populations={"left": Value(0.97, 0.0, "exact"), "right": Value(0.03, 0.0, "exact")}
    )
    shares = {
        "left": replace(LEFT, value=1.0, error=0.004, effective=270.0, unit=0.004),
        "right": replace(RIGHT, value=0.0, error=math.inf, upper=0.011, effective=0.0, unit=0.004),
    }
    verdict = reach_verdict(found(independence=few, modes=shares, averages={}, without={}), known)
    assert verdict.word == "unchecked"
    assert "at most 0.011" in verdict.of("P(right)").reason


def test_contradictions_that_an_unseen_rare_mode_explains_are_unchecked():
    few = EffectiveDraws(300, 300, 1.0)
    shares = {"left": replace(LEFT, value=1.0), "right": replace(RIGHT, value=0.0, error=math.inf, effective=0.0)}
    run = found(independence=few, modes=shares, **average(value=0.99))
    assert "300 proposals cannot tell" in reach_verdict(run, KNOWN).of("<a>").reason
    assert (
        reach_verdict(
            replace(run, independence=EffectiveDraws(10_000, 10_000, 1.0), modes={**shares, "right": RIGHT}), KNOWN
        ).word
        != "trust"
    )
