"""Pure functions from weighted samples and time series to numbers with error bars."""

from lit_bg.estimators.alignment import Moves, align
from lit_bg.estimators.bar import Bounds, bar, bar_overlap, bar_terms, work_bounds
from lit_bg.estimators.basins import circular_basins
from lit_bg.estimators.bootstrap import bootstrap, bootstrap_error, group_frames
from lit_bg.estimators.convergence import Convergence, both_directions
from lit_bg.estimators.crossings import count_entries
from lit_bg.estimators.density import density, shell_factor
from lit_bg.estimators.dependent import average, effective_samples, log_norm
from lit_bg.estimators.forward import forward_ess_with_error, forward_log_z, unproposed_share
from lit_bg.estimators.importance import (
    effective_in,
    ess,
    ess_is_known,
    ess_with_error,
    expectation,
    forward_ess,
    log_z,
    upper_limit,
)
from lit_bg.estimators.mode_balance import balance, raise_shares
from lit_bg.estimators.multistate import ladder_populations, mbar, mbar_covariance, mbar_events, mbar_log_weights
from lit_bg.estimators.overlap import least_overlap, next_to_diagonal, overlap_matrix, weakest_link
from lit_bg.estimators.pareto import Tail, pareto_k, tail, tail_share
from lit_bg.estimators.populations import (
    count_ancestors,
    effective_ancestors,
    populations_disagree,
)
from lit_bg.estimators.profile import effective_count, profile, surface
from lit_bg.estimators.resampling import multinomial, resample, systematic
from lit_bg.estimators.smoothing import Smoothed, SmoothedWeights, smooth_weights
from lit_bg.estimators.time_series import mean_of_walkers, mean_with_error, r_hat, statistical_inefficiency, subsample
from lit_bg.estimators.virial import virial, virial_terms
from lit_bg.estimators.wasserstein import geometric_w2, wasserstein

__all__ = [
    "Bounds",
    "Convergence",
    "Moves",
    "Smoothed",
    "SmoothedWeights",
    "Tail",
    "align",
    "average",
    "balance",
    "bar",
    "bar_overlap",
    "bar_terms",
    "bootstrap",
    "bootstrap_error",
    "both_directions",
    "circular_basins",
    "count_ancestors",
    "count_entries",
    "density",
    "effective_ancestors",
    "effective_count",
    "effective_in",
    "effective_samples",
    "ess",
    "ess_is_known",
    "ess_with_error",
    "expectation",
    "forward_ess",
    "forward_ess_with_error",
    "forward_log_z",
    "geometric_w2",
    "group_frames",
    "ladder_populations",
    "least_overlap",
    "log_norm",
    "log_z",
    "mbar",
    "mbar_covariance",
    "mbar_events",
    "mbar_log_weights",
    "mean_of_walkers",
    "mean_with_error",
    "multinomial",
    "next_to_diagonal",
    "overlap_matrix",
    "pareto_k",
    "populations_disagree",
    "profile",
    "r_hat",
    "raise_shares",
    "resample",
    "shell_factor",
    "smooth_weights",
    "statistical_inefficiency",
    "subsample",
    "surface",
    "systematic",
    "tail",
    "tail_share",
    "unproposed_share",
    "upper_limit",
    "virial",
    "virial_terms",
    "wasserstein",
    "weakest_link",
    "work_bounds",
]
