"""Pictures of every test, and of some validations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lit_bg.callbacks.observer import Observer
from lit_bg.callbacks.reference import target_samples
from lit_bg.callbacks.wandb_run import log_media, logs_to_wandb, wandb_run
from lit_bg.diagnostics.profiles import Curve
from lit_bg.estimators import ess, tail
from lit_bg.figures.plane import find_plane, in_plane
from lit_bg.figures.samples import file_name
from lit_bg.module import BoltzmannGenerator
from lit_bg.report.record import Record
from lit_bg.spaces import Particles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lit_bg.figures import Plane

TARGET_FRAMES = 50_000  # of the target, at most
AT_ONCE = 50_000  # configurations on the device beside the model


class Figures(Observer):
    """Draws samples against target, energy histograms, distances of particles, free-energy profiles and the weight tail.

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
        self._wanted = False
        self._validations = 0
        self._plane: Plane | None = None
        self._target: tuple[Tensor, Tensor] | None = None

    def begin(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        self._wanted = stage == "test"
        if stage == "val":
            self._wanted = self._validations % self.every == 0 and logs_to_wandb(trainer)
            self._validations += 1

    def finish(self, trainer: Trainer, module: BoltzmannGenerator, stage: str) -> None:
        folder = trainer.log_dir  # a collective call, as is the next
        record = module.record if self._wanted else None
        if record is None or not trainer.is_global_zero:
            return
        figures = self.draw(module, record)
        if stage == "test" and folder is not None:
            from lit_bg.figures.style import save

            for name, figure in figures.items():
                save(figure, Path(folder) / "figures" / f"{name}.png")
        if wandb_run(trainer) is not None:
            log_media(trainer, {f"sample/{name}": _wandb_image(figure) for name, figure in figures.items()})

    def draw(self, module: BoltzmannGenerator, record: Record) -> dict[str, Figure]:
        """Draw all figures and return them by file name."""
        from lit_bg.figures import draw_configurations, draw_distances, draw_energies, draw_profile, draw_weights
        from lit_bg.figures.style import EXACT, as_drawn, with_unit

        energy, samples = module.energy, record.evaluation.proposals
        log_w = samples.log_w
        fit = tail(log_w)
        detail = f"judged at step {module.judged_step}: n = {len(log_w)}, ESS {ess(log_w):.3g}, k-hat {fit.k:.2f}"
        name = energy.name if energy.structure is None else Path(energy.name).stem
        w = torch.softmax(log_w, 0) if torch.isfinite(log_w).any() else torch.zeros_like(log_w)
        source = "exact samples" if module.data.dataset is None else "reference data"
        target_plane, target_u = self._look_up_target(module)
        with torch.no_grad():
            points = torch.cat([in_plane(energy, x.to(module.device)).cpu() for x in samples.x.split(AT_ONCE)])
        if self._plane is None:
            self._plane = find_plane(energy, target_plane, points, module.device)
        plane, u, weights = (t.numpy() for t in (points, samples.u, w))
        figures = {
            "configurations": draw_configurations(self._plane, plane, weights, target_plane, name, detail, source),
            "energies": draw_energies(u, weights, target_u, f"{name}: energies", detail, source),
            "weights": draw_weights(log_w.numpy(), fit, f"{name}: weight tail", detail),
        }
        of, one = ("particles", "a particle") if energy.structure is None else ("atoms", "an atom")
        pictures = []
        if record.pair_density is not None:
            particles = energy.space
            assert isinstance(particles, Particles)  # nothing else has distances
            n, d = particles.shape
            pictures.append(("distances", record.pair_density, f"distances of {of}", "density", 1))
            if len(set(particles.types)) == 1:
                around = record.pair_density.around(n, d)
                pictures.append(("radial", around, f"{of} around {one}", "number density", d))
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
                of=of,
            )
        for key, p in record.profiles.items():
            figures[f"profile_{file_name(key)}"] = draw_profile(
                with_unit(key, energy.observables[key].unit),
                as_drawn(p.edges.numpy(), energy.observables[key].unit),
                raw=_arrays(p.raw),
                reweighted=_arrays(p.reweighted),
                reference=None if p.reference is None else _arrays(p.reference),
                title=f"{name}: free energy along {key}",
                detail=detail,
                source=EXACT if p.exact else source,
            )
        return figures

    def _look_up_target(self, module: BoltzmannGenerator) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Look up samples of the target in the plane, and their energies, once in a run."""
        if self._target is None:
            energy, target = module.energy, target_samples(module)
            if target is None:
                return None, None
            data = module.data.dataset
            pick = torch.linspace(0, len(target[0]) - 1, min(len(target[0]), TARGET_FRAMES)).long()
            x = target[0][pick]
            with torch.no_grad():  # `potential`, not the energy itself: a picture is no energy call of the method
                u = energy.potential(x) / energy.kT if data is None else data.u[pick]
            self._target = in_plane(energy, x), u
        plane, u = self._target
        return plane.cpu().double().numpy(), u.cpu().double().numpy()


def _arrays(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    return curve[0].numpy(), curve[1].numpy()


def _wandb_image(figure: Figure) -> Any:
    import io

    import wandb
    from PIL import Image

    from lit_bg.figures.style import png

    return wandb.Image(Image.open(io.BytesIO(png(figure))))
