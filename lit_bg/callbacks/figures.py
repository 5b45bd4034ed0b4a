"""Pictures of every test, and of some validations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_bg.callbacks.diagnose import Diagnose
from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.particle_distances import ParticleDistances
from lit_bg.callbacks.reference import reference_data, target_samples
from lit_bg.callbacks.wandb_run import log_media, logs_to_wandb, wandb_run
from lit_bg.diagnostics.profiles import Curve
from lit_bg.energies.base import Energy
from lit_bg.estimators import ess, pareto_k
from lit_bg.metrics import Gathered
from lit_bg.module import BoltzmannGenerator
from lit_bg.samples import Evaluation
from lit_bg.spaces import Particles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lit_bg.figures import Plane

GRID = 120  # energies per axis of a plane
TARGET_FRAMES = 50_000  # of the target, at most


class Figures(Observer):
    """Samples against target, energy histograms, distances of particles, free-energy profiles and the weight tail.

    A test leaves them as figures/*.png in the run folder; W&B gets them, under sample/, from tests and from
    every k-th validation. The profiles are those of `Diagnose`, the distances those of `ParticleDistances`.

    Args:
        every: validations from one set of W&B pictures to the next.

    Raises:
        ValueError: `every` is not positive.
    """

    def __init__(self, every: int = 10) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every counts validations and must be at least 1, got {every}.")
        self.every = every
        self.gathered: Gathered | None = None  # only while pictures are wanted
        self._validations = 0
        self._plane: Plane | None = None
        self._target: tuple[Tensor, Tensor] | None = None

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        wanted = stage == "test"
        if stage == "val":
            wanted = self._validations % self.every == 0 and logs_to_wandb(trainer)
            self._validations += 1
        number = torch.empty(0, dtype=torch.float64)
        columns = {"log_w": number, "u": number, "plane": torch.empty(0, 2, dtype=torch.float64)}
        self.gathered = Gathered(**columns).to(module.device) if wanted else None

    def observe(self, trainer: Trainer, module: BoltzmannGenerator, evaluation: Evaluation) -> None:
        if self.gathered is not None:
            samples = evaluation.proposals
            self.gathered.update(log_w=samples.log_w, u=samples.u, plane=in_plane(module.energy, samples.x))

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call, as is the next
        columns = None if self.gathered is None else self.gathered.compute()
        self.gathered = None
        if columns is None or not trainer.is_global_zero:
            return
        figures = self.draw(trainer, module, {name: column.cpu() for name, column in columns.items()})
        if stage == "test" and folder is not None:
            from lit_bg.figures.style import save

            for name, figure in figures.items():
                save(figure, Path(folder) / "figures" / f"{name}.png")
        if wandb_run(trainer) is not None:
            log_media(trainer, {f"sample/{name}": _wandb_image(figure) for name, figure in figures.items()})

    def draw(self, trainer: Trainer, module: BoltzmannGenerator, columns: dict[str, Tensor]) -> dict[str, Figure]:
        """All figures by file name."""
        from lit_bg.figures import draw_configurations, draw_distances, draw_energies, draw_profile, draw_weights
        from lit_bg.figures.style import with_unit

        energy, log_w = module.energy, columns["log_w"]
        k = pareto_k(log_w)
        detail = f"step {module.judged_step}: n = {len(log_w)}, ESS {ess(log_w):.3g}, k-hat {k:.2f}"
        name = energy.name if energy.structure is None else Path(energy.name).stem
        w = torch.softmax(log_w, 0) if torch.isfinite(log_w).any() else torch.zeros_like(log_w)
        source = "exact samples" if reference_data(trainer) is None else "reference data"
        target_plane, target_u = self._look_up_target(trainer, module)
        if self._plane is None:
            self._plane = find_plane(energy, target_plane, columns["plane"], module.device)
        plane, u, weights = (t.numpy() for t in (columns["plane"], columns["u"], w))
        figures = {
            "configurations": draw_configurations(self._plane, plane, weights, target_plane, name, detail, source),
            "energies": draw_energies(u, weights, target_u, f"{name}: energies", detail, source),
            "weights": draw_weights(log_w.numpy(), k, f"{name}: weight tail", detail),
        }
        distances = next((c.density for c in trainer.callbacks if isinstance(c, ParticleDistances)), None)  # type: ignore[attr-defined]
        pictures = []
        if distances is not None:
            particles = energy.space
            assert isinstance(particles, Particles)  # nothing else has distances
            n, d = particles.shape
            pictures.append(("distances", distances, "distances of particles", "density", 1))
            if len(set(particles.types)) == 1:
                pictures.append(("radial", distances.around(n, d), "particles around a particle", "number density", d))
        for key, curves, title, quantity, power in pictures:
            figures[key] = draw_distances(
                curves.edges.numpy(),
                raw=_arrays(curves.raw),
                reweighted=_arrays(curves.reweighted),
                reference=_arrays(curves.reference),
                title=f"{name}: {title}",
                detail=detail,
                quantity=quantity,
                power=power,
                unit="" if energy.structure is None else "nm",
                source=source,
            )
        observer = next((c for c in trainer.callbacks if isinstance(c, Diagnose)), None)  # type: ignore[attr-defined]
        for key, p in (observer.profiles if observer is not None else {}).items():
            figures[f"profile_{_file_name(key)}"] = draw_profile(
                with_unit(key, energy.observables[key].unit),
                p.edges.numpy(),
                raw=_arrays(p.raw),
                reweighted=_arrays(p.reweighted),
                reference=None if p.reference is None else _arrays(p.reference),
                title=f"{name}: free energy along {key}",
                detail=detail,
                source=source,
            )
        return figures

    def _look_up_target(self, trainer: Trainer, module: BoltzmannGenerator) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Samples of the target in the plane, and their energies; once in a run."""
        if self._target is None:
            energy, target = module.energy, target_samples(trainer, module)
            if target is None:
                return None, None
            data = reference_data(trainer)
            pick = torch.linspace(0, len(target[0]) - 1, min(len(target[0]), TARGET_FRAMES)).long()
            x = target[0][pick]
            with torch.no_grad():  # `potential`, not the energy itself: a picture is no energy call of the method
                u = energy.potential(x) / energy.kT if data is None else data.u[pick]
            self._target = in_plane(energy, x), u
        plane, u = self._target
        return plane.cpu().double().numpy(), u.cpu().double().numpy()


def in_plane(energy: Energy, x: Tensor) -> Tensor:
    """The two coordinates that are drawn, (B, 2) float64.

    A pair of angles (the Ramachandran plane of a peptide) where the system has them; otherwise the first two
    coordinates; beside a single coordinate, the energy.
    """
    angles = [o for o in energy.observables.values() if o.periodic][:2]
    if len(angles) == 2:
        return torch.stack([o.function(x) for o in angles], -1).double()
    flat = x.flatten(1)
    if flat.shape[1] >= 2:
        return flat[:, :2].double()
    return torch.cat([flat, energy.potential(x)[:, None] / energy.kT], -1).double()


def find_plane(energy: Energy, target: np.ndarray | None, proposals: Tensor, device: torch.device | str = "cpu") -> Plane:
    """Names and extent of the plane; the energy on a grid where the system has no other coordinates."""
    from lit_bg.figures import Plane
    from lit_bg.figures.style import with_unit

    angles = [(name, o) for name, o in energy.observables.items() if o.periodic][:2]
    if len(angles) == 2:
        names = [with_unit(name, o.unit) for name, o in angles]
        ranges = [o.range or (-np.pi, np.pi) for _, o in angles]
        return Plane((names[0], names[1]), (*ranges[0], *ranges[1]))
    box = energy.box
    names = ["x1", "x2"] if energy.space.dim >= 2 else ["x", "u [kT]"]
    if box is None or energy.space.dim < 2:
        shown = proposals[proposals.isfinite().all(-1)].numpy() if target is None else target
        low, high = np.quantile(shown, [0.001, 0.999], axis=0) if len(shown) else (np.zeros(2), np.ones(2))
        margin = 0.1 * (high - low) + 1e-3
        low, high = low - margin, high + margin
    else:
        low, high = box.flatten(1)[:, :2].cpu().double().numpy()
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    u = None
    if energy.space.shape == (2,):
        x, y = torch.linspace(extent[0], extent[1], GRID), torch.linspace(extent[2], extent[3], GRID)
        grid = torch.cartesian_prod(x, y).to(device)
        with torch.no_grad():
            u = (energy.potential(grid) / energy.kT).reshape(GRID, GRID).T.cpu().double().numpy()
    return Plane((names[0], names[1]), extent, u)


def _arrays(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    return curve[0].numpy(), curve[1].numpy()


def _file_name(name: str) -> str:
    """A name of letters, digits, dots, signs and underscores."""
    return re.sub(r"[^\w.<>+-]+", "_", name).strip("_").replace("<", "lt").replace(">", "gt")


def _wandb_image(figure: Figure) -> Any:
    import io

    import wandb
    from PIL import Image

    from lit_bg.figures.style import png

    return wandb.Image(Image.open(io.BytesIO(png(figure))))
