"""Files of reduced potentials that other programs read: u_nk.parquet (alchemlyb) and u_kn.npz (pymbar)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lit_bg.files import atomic


def write_u_kn(path: Path, names: tuple[str, ...], u: Tensor, counts: Tensor) -> None:
    """Write what `pymbar.MBAR(u_kn, N_k)` takes, and the names of the states.

    Args:
        path: .npz to write.
        names: of K states.
        u: (K, N) reduced potentials [kT], samples of state 0 first.
        counts: (K,) samples of each state, zero for those that were not sampled.
    """
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, u_kn=u.double().numpy(), N_k=counts.long().numpy(), states=np.array(names))


def write_u_nk(path: Path, u: Tensor, counts: Tensor, temperature: float | None) -> None:
    """Write a table that `alchemlyb.parsing.parquet.extract_u_nk` reads: a column and an index level for the states 0, 1, ...

    Without a temperature alchemlyb takes the one that it is asked for; with one it refuses another.

    Args:
        path: .parquet to write.
        u: (K, N) reduced potentials [kT], samples of state 0 first.
        counts: (K,) samples of each state.
        temperature: of the states [K]; None for a model system.

    Raises:
        ImportError: pandas or pyarrow is missing.
    """
    import pandas as pd

    state = torch.repeat_interleave(torch.arange(len(counts)), counts).double()
    time = torch.cat([torch.arange(int(n)) for n in counts]).double()
    index = pd.MultiIndex.from_arrays([time.numpy(), state.numpy()], names=["time", "state-lambda"])
    table = pd.DataFrame(u.T.double().numpy(), columns=[float(k) for k in range(len(counts))], index=index)
    table.attrs["energy_unit"] = "kT"
    if temperature is not None:
        table.attrs["temperature"] = temperature
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=True)
