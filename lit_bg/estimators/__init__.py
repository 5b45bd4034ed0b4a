"""Pure functions from weighted samples and time series to numbers with error bars."""

from lit_bg.estimators._pending import *
from lit_bg.estimators.alignment import Moves, aligned
from lit_bg.estimators.basins import circular_basins
from lit_bg.estimators.density import density, shell_factor
from lit_bg.estimators.importance import ess, expectation, forward_ess, log_z
from lit_bg.estimators.multistate import ladder_populations, mbar, mbar_log_weights
from lit_bg.estimators.pareto import Tail, pareto_k, tail, tail_share
from lit_bg.estimators.profile import effective_count, profile
from lit_bg.estimators.time_series import mean_with_error, r_hat, statistical_inefficiency
from lit_bg.estimators.virial import virial, virial_terms
from lit_bg.estimators.wasserstein import geometric_w2, wasserstein

__all__ = [
    "Moves",
    "aligned",
    "circular_basins",
    "density",
    "effective_count",
    "ess",
    "expectation",
    "forward_ess",
    "geometric_w2",
    "ladder_populations",
    "log_z",
    "mbar",
    "mbar_log_weights",
    "mean_with_error",
    "pareto_k",
    "profile",
    "r_hat",
    "shell_factor",
    "statistical_inefficiency",
    "tail_share",
    "virial",
    "virial_terms",
    "wasserstein",
]
