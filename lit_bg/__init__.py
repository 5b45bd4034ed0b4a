"""Boltzmann generators: sample exp(-U/kT) with generative models, corrected to it exactly."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_bg.runs.load import Run, load
    from lit_bg.samples import Samples

__all__ = ["Run", "Samples", "load"]


def __getattr__(name: str) -> Any:  # importing lit_bg alone stays fast
    if name == "Samples":
        from lit_bg.samples import Samples

        return Samples
    if name in ("load", "Run"):
        from lit_bg.runs import load as module

        return getattr(module, name)
    raise AttributeError(f"module 'lit_bg' has no attribute '{name}'")
