"""Pure functions from weighted samples and time series to numbers with error bars."""

from lit_bg.estimators.importance import ess, expectation, forward_ess, log_z, pareto_k

__all__ = ["ess", "expectation", "forward_ess", "log_z", "pareto_k"]
