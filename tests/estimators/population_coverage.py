"""How often the error bars of populations cover the truth; run it to print the table of docs/verdict.md.

python tests/estimators/population_coverage.py --repeats 1000
"""

from __future__ import annotations

import argparse
import math

import torch

from lit_bg.estimators import average, log_norm

NAMES = ("log Z", "<x>", "<x^2>", "P(x > 1.5)")


def cover(repeats: int, populations: int = 8, particles: int = 200, tilt: float = 0.8, seed: int = 0) -> torch.Tensor:
    """(4, 4) how often one, two and three errors cover, of the repeats with a bar, and the share of those without.

    Of x ~ N(0, 1) with log w = s x - s^2 / 2: Z = 1, the target N(s, 1).
    """
    g, off = torch.Generator().manual_seed(seed), []
    truth = (0.0, tilt, 1 + tilt**2, 0.5 * math.erfc((1.5 - tilt) / math.sqrt(2)))
    for _ in range(repeats):
        x = torch.randn(populations, particles, generator=g, dtype=torch.float64)
        log_w = tilt * x - tilt**2 / 2
        own = torch.arange(particles).expand(populations, -1)  # each its own ancestor
        averages = (average(a, log_w, "populations", own) for a in (x, x**2, (x > 1.5).double()))
        found = [log_norm(log_w, "populations", own), *averages]
        off.append([abs(v - t) / e if math.isfinite(e) else math.nan for (v, e), t in zip(found, truth, strict=True)])
    z = torch.tensor(off, dtype=torch.float64)
    barred = ~z.isnan()
    shares = [((z < k) & barred).sum(0) / barred.sum(0) for k in (1, 2, 3)]
    return torch.stack([*shares, 1 - barred.double().mean(0)], 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=1000)
    repeats = options.parse_args().repeats
    print("| populations | particles | ESS | number | one error covers | two | three | no bar |\n" + "|---" * 8 + "|")
    for populations in (8, 16):
        for particles in (100, 1000):
            for tilt in (0.5, 1.0):
                rows = cover(repeats, populations, particles, tilt).tolist()
                ess = math.exp(-(tilt**2))
                for name, (one, two, three, none) in zip(NAMES, rows, strict=True):
                    label = name.replace("<", "&lt;")
                    shares = " | ".join(f"{share:.1%}" for share in (one, two, three, none))
                    print(f"| {populations} | {particles} | {ess:.2f} | {label} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
