"""Means and errors of correlated frames."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from lit_bg.estimators.student import widening

FEWEST_WALKERS = 8  # so many give an error bar of their own


def check_series(series: Tensor) -> Tensor:
    series = torch.as_tensor(series).detach().to(torch.float64).cpu()
    if series.ndim == 1:
        series = series[:, None]
    if series.ndim != 2 or series.numel() == 0:
        raise ValueError(f"a series has shape (T,) or (T, W), frames first and not empty, got {tuple(series.shape)}.")
    if not torch.isfinite(series).all():
        raise ValueError(f"{int((~torch.isfinite(series)).sum())} of {series.numel()} entries of the series are not finite.")
    return series


def statistical_inefficiency(series: Shaped[Tensor, "T *W"]) -> float:
    r"""Return the frames per independent frame, $g = 1 + 2 \sum_{t \ge 1} (1 - t/T)\, \rho(t) \ge 1$.

    The autocorrelation rho is taken about the mean of all walkers and averaged over them, so walkers
    that disagree raise g: if each sits in a state of its own, g is T and the walkers alone count. The sum
    ends where Geyer's sums of neighbouring pairs, which are positive and decreasing for a reversible
    chain, turn negative. A constant series says nothing and has g = 1.

    Args:
        series: (T,) frames of one walker or (T, W) of several.

    Raises:
        ValueError: not a series, or entries that are not finite.

    References:
        Geyer, Stat. Sci. 7, 473 (1992), doi:10.1214/ss/1177011137.
        Chodera, Swope, Pitera, Seok, Dill, J. Chem. Theory Comput. 3, 26 (2007), doi:10.1021/ct0502864.

    >>> statistical_inefficiency(torch.randn(1000, generator=torch.Generator().manual_seed(0))) < 1.2
    True
    """
    return inefficiencies(check_series(series)[None]).item()


def inefficiencies(series: Tensor) -> Tensor:
    """Return the `statistical_inefficiency` of many series at once, (K, T, W) -> (K,), float64; all entries finite."""
    from scipy.fft import next_fast_len

    a = series - series.mean((1, 2), keepdim=True)
    n = a.shape[1]
    moves = a.abs().amax((1, 2)) > 0
    if n == 1 or not moves.any():
        return torch.ones(len(a), dtype=torch.float64)
    size = next_fast_len(2 * n, real=True)
    power = torch.zeros(len(a), size // 2 + 1, dtype=torch.float64)
    for part in a.split(256, dim=2):  # many walkers need not be transformed at once
        power += (torch.fft.rfft(part, n=size, dim=1).abs() ** 2).sum(2)
    rho = torch.fft.irfft(power, n=size)[:, :n]
    rho = rho / torch.where(moves, rho[:, 0], 1.0)[:, None]  # with 1/T at every lag, so the factor (1 - t/T) is inside
    pairs = rho[:, : n - n % 2].reshape(len(a), -1, 2).sum(-1)
    positive = (pairs > 0).cumprod(1)
    monotone = (torch.cummin(pairs, 1).values * positive).sum(1)
    return torch.where(moves, (2 * monotone - 1).clamp_min(1.0), 1.0)


def subsample(frames: int, inefficiency: float) -> Int[Tensor, "m"]:
    r"""Return which of so many frames in order of time to keep, so that they are as good as independent, (m,) long.

    Frame $\lceil i g \rceil$ for i = 0, 1, ...: one for every g, and the first always.

    Args:
        frames: T.
        inefficiency: g of `statistical_inefficiency`.

    Raises:
        ValueError: no frames, or an inefficiency below one.

    >>> subsample(6, 1.5).tolist(), subsample(3, 1.0).tolist(), subsample(3, 99.0).tolist()
    ([0, 2, 3, 5], [0, 1, 2], [0])
    """
    if frames < 1 or not 1 <= inefficiency < math.inf:
        raise ValueError(f"frames and g are at least 1, got {frames} and {inefficiency}.")
    kept = (torch.arange(math.ceil(frames / inefficiency), dtype=torch.float64) * inefficiency - 1e-9).ceil().long()
    return kept[kept < frames]


def mean_with_error(series: Shaped[Tensor, "T *W"]) -> tuple[float, float]:
    r"""Return the mean of correlated frames and its standard error, $t\, \sigma \sqrt{g / (T W)}$.

    t is Student's factor for as many degrees of freedom as there are independent frames but one. A series of nothing but 0, or
    nothing but 1, is an event that nobody has left or entered: its error is infinite. Any other constant has error 0. How
    often the errors cover the truth is measured in docs/verdict.md.

    Args:
        series: (T,) frames of one walker or (T, W) of several; (1, W) is W independent values.

    Raises:
        ValueError: not a series, or entries that are not finite.

    >>> mean_with_error(torch.tensor([2.0, 2.0, 2.0])), mean_with_error(torch.tensor([1.0, 1.0, 1.0]))
    ((2.0, 0.0), (1.0, inf))
    """
    a = check_series(series)
    if a.numel() == 1 or (a.min() == a.max() and a[0, 0] in (0, 1)):
        return a.mean().item(), math.inf
    g = statistical_inefficiency(a)
    t = widening(a.numel() / g - 1).item()
    return a.mean().item(), t * a.std().item() * math.sqrt(g / a.numel())


def mean_of_walkers(series: Shaped[Tensor, "T W"]) -> tuple[float, float]:
    """Return the mean of frames (T, W) and its error, by their correlation in time and by the spread between eight walkers.

    The larger error counts: walkers that were slow to leave their starts tell more by their spread.
    """
    mean, error = mean_with_error(series)
    return mean, max(error, spread_of_walkers(series))


def spread_of_walkers(series: Tensor) -> float:
    """Return the error of the mean of frames (T, W) by the spread between walkers; 0 for fewer than eight."""
    walkers = series.shape[1]
    return series.double().mean(0).std().item() / math.sqrt(walkers) if walkers >= FEWEST_WALKERS else 0.0


def r_hat(series: Shaped[Tensor, "T *W"]) -> float:
    r"""Return the split, rank-normalised $\hat R$: the larger of that of the ranks and that of the folded ranks.

    It compares the spread between walkers, each cut into halves, with the spread within. Above 1.01 the walkers
    do not agree well, above 1.1 they have not seen the same distribution. NaN for fewer than four
    frames or a constant series, inf for walkers that never move and differ.

    Args:
        series: (T,) frames of one walker or (T, W) of several.

    Raises:
        ValueError: not a series, or entries that are not finite.

    References:
        Vehtari, Gelman, Simpson, Carpenter, Buerkner, Bayesian Anal. 16, 667 (2021), arXiv:1903.08008.
    """
    from scipy.stats import norm, rankdata

    a = check_series(series)
    half = len(a) // 2
    if half < 2 or a.max() == a.min():
        return math.nan
    chains = torch.cat([a[:half], a[-half:]], 1)
    folded = (chains - chains.median()).abs()
    values = []
    for c in (chains, folded):
        ranks = torch.from_numpy(rankdata(c.numpy(), axis=None)).reshape(c.shape)
        z = torch.from_numpy(norm.ppf((ranks.numpy() - 0.375) / (ranks.numel() + 0.25)))
        within, between = z.var(0).mean().item(), z.mean(0).var().item()
        if between == 0 and within == 0:
            continue  # folding a two-valued series can leave a constant
        values.append(math.sqrt((half - 1) / half + between / within) if within > 0 else math.inf)
    return max(values, default=math.nan)
