"""Who a target is: the configuration that it was built from, in one spelling, and how two of them are compared."""

from lit_bg.identity.canonical import canonical, describe_file, digest
from lit_bg.identity.comparison import Comparison, compare
from lit_bg.identity.configured import Configured, identify

__all__ = ["Comparison", "Configured", "canonical", "compare", "describe_file", "digest", "identify"]
