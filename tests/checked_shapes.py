"""The main path through the package while every shape and dtype that a signature names is looked at; `test_shapes` runs it.

Nothing is checked in production, where it would cost time: here an import hook puts a check around every function of the
modules that name axes, and around what overrides it in a subclass.
"""

import inspect
from pathlib import Path

from beartype import beartype
from jaxtyping import TypeCheckError, install_import_hook, jaxtyped

ROOT = Path(__file__).parent.parent


def check(function):
    """Hold a function to what it says of tensors, and to nothing else: other names may be imported for type checkers alone."""
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if "[Tensor, " in str(hint)}
    return beartype(function) if function.__annotations__ else function


def name_axes() -> list[str]:
    """Return the modules whose signatures name the axes of tensors."""
    files = [path for path in (ROOT / "lit_bg").rglob("*.py") if "from jaxtyping import" in path.read_text()]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]


def subclasses(cls: type) -> list[type]:
    return [each for child in cls.__subclasses__() for each in (child, *subclasses(child))]


def hold(contract: type) -> int:
    """Hold every method of a subclass to the signature in its contract; return how many there are."""
    held = 0
    for name, declared in vars(contract).items():
        if not inspect.isfunction(declared):
            continue
        declared = inspect.unwrap(declared)
        hints = {k: eval(v, declared.__globals__) for k, v in declared.__annotations__.items() if "[Tensor, " in v}
        for cls in subclasses(contract) if hints else ():
            own = vars(cls).get(name)
            if inspect.isfunction(own) and not hasattr(own, "__wrapped__"):
                known = {*inspect.signature(own).parameters, "return"}
                own.__annotations__ = {k: v for k, v in hints.items() if k in known}
                setattr(cls, name, jaxtyped(own, typechecker=beartype))
                held += 1
    return held


def refuses(call) -> bool:
    try:
        call()
    except TypeCheckError:
        return True
    return False


def main() -> None:
    install_import_hook(name_axes(), "checked_shapes.check")
    import torch

    from lit_bg import estimators
    from lit_bg.bases.base import BaseDensity
    from lit_bg.diagnostics.knowledge import collect_knowledge
    from lit_bg.diagnostics.latent_path import latent_path
    from lit_bg.diagnostics.proposals import diagnose
    from lit_bg.energies import DoubleWell, Energy, PairEnergy
    from lit_bg.evaluate import evaluate
    from lit_bg.generators import ContinuousFlow, CouplingFlow
    from lit_bg.generators.base import Generator
    from lit_bg.generators.transport import Transport
    from lit_bg.kernels import HMC, MALA
    from lit_bg.kernels.base import Kernel
    from lit_bg.losses import ReverseKL
    from lit_bg.losses.base import Loss
    from lit_bg.losses.batch import Batch
    from lit_bg.nets import KernelField
    from lit_bg.nets.field import VectorField
    from lit_bg.samplers.base import Proposer
    from lit_bg.samples import Frames, draw
    from lit_bg.simulators.base import Trajectory
    from lit_bg.spaces import Particles
    from lit_bg.transforms.base import Layer, Transform

    class Springs(PairEnergy):
        def pair(self, r):
            return 0.5 * r**2

    contracts = (Energy, Transport, Generator, BaseDensity, Layer, Transform, VectorField, Kernel, Loss)
    assert all(hold(contract) for contract in contracts)

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    energy = DoubleWell()
    flow = CouplingFlow(blocks=2, hidden=(8,)).build(energy)
    with torch.no_grad():
        samples = draw(flow, energy, 400, rng)
        flow.log_prob(samples.x)
    ReverseKL().build(flow, energy)(Batch(flow, energy, 8)).backward()
    drawn = Proposer(flow, energy).draw(100, 0, "test")

    w, a, label = samples.log_w, samples.x[:, 0], energy.modes.label(samples.x)
    edges = torch.linspace(-3.0, 3.0, 9)
    estimators.log_z(w), estimators.ess(w), estimators.expectation(a, w), estimators.tail(w, a)
    estimators.profile(a, w, edges), estimators.surface(a, samples.x[:, 1], w, (edges, edges))
    estimators.density(samples.x, w, edges), estimators.wasserstein(a, drawn.x[:, 0], w)
    estimators.resample(w, 30, rng), estimators.balance(w.exp(), label, 2, 0.1), estimators.virial(energy, samples.x[:9])
    estimators.bar(-w, drawn.log_w - 3.0), estimators.bootstrap(lambda x: x.mean(), (a,), 3, rng, [label])
    u = torch.stack([samples.u, samples.u + a**2]).double()
    f = estimators.mbar(u, torch.tensor([200, 200]))
    estimators.mbar_events(u, u[0], torch.stack([label == 0, label == 1]), torch.tensor([200, 200]), f)
    estimators.overlap_matrix(u, torch.tensor([200, 200]), f)

    frames = []
    for kernel in (MALA(0.1), HMC(step_size=0.1, steps=3)):
        state = kernel.init(energy, energy.exact_samples(5, rng).double(), rng)
        for _ in range(8):
            state, info = kernel.step(energy, state, rng)
            kernel.adapt(info)
            frames.append(state.x)
    walked = Trajectory(torch.stack(frames), u=torch.stack([energy(x) for x in frames]))
    estimators.mean_with_error(walked.u), estimators.r_hat(walked.u), estimators.group_frames(16, 5)
    estimators.average(walked.u, torch.zeros_like(walked.u), "chains")
    estimators.effective_ancestors(walked.u, torch.zeros_like(walked.u).long())

    held = energy.exact_samples(60, rng)
    reference = Frames(held, energy(held), torch.arange(60), torch.zeros(60, dtype=torch.long))
    found = diagnose(energy, evaluate(flow, energy, 300, rng, reference), collect_knowledge(energy))
    assert torch.isfinite(torch.tensor(found.weights.log_Z))
    latent_path(flow, energy, samples.x[0], samples.x[1], points=5)

    springs = Springs(4, 2)
    moving = ContinuousFlow(KernelField(), scale=0.6).build(springs)
    with torch.no_grad():
        clusters = draw(moving, springs, 20, rng)
        moving.log_prob(clusters.x)
    estimators.align(clusters.x[:9], clusters.x[9:18], estimators.Moves.of(springs))
    box = Particles(3, 2, box=((2.0, 0.0), (0.5, 2.0)))
    box.wrap(box.difference(box.noise(4, rng), box.noise(4, rng)))

    # What is looked at is seen: too many axes, lengths that differ, another dtype, in functions and in what overrides a method.
    assert refuses(lambda: estimators.log_z(torch.zeros(5, 2)))
    assert refuses(lambda: estimators.mbar(u, torch.tensor([200, 200, 0])))
    assert refuses(lambda: energy(samples.x.long()))
    assert refuses(lambda: flow.log_prob(torch.zeros(())))
    assert refuses(lambda: energy.potential(samples.x[0, 0]))


if __name__ == "__main__":
    main()
