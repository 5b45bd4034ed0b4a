"""Random walks in the latent space of a flow."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lit_bg.energies.base import Energy
from lit_bg.generators.base import Generator
from lit_bg.generators.transport import Transport
from lit_bg.kernels.adaptation import Tuned
from lit_bg.kernels.base import Info, Numbers, State, accept, choose
from lit_bg.kernels.from_generator import FromGenerator


class LatentWalk(FromGenerator, Tuned):
    r"""Walks in the latent space of a flow F by Metropolis steps: $z = F^{-1}(x)$, $z' = z + \sigma \xi$, $x' = F(z')$.

    Accepted with $\min(1, e^{-\Delta})$, $\Delta = [u(x') - \log R(z')] - [u(x) + \log R^{-1}(x)]$, where $\log R$ is
    $\log|\det \partial x / \partial z|$ and $\log R^{-1}$ that of the inverse: noise is symmetric in z, and R carries it to x.
    Modes that the flow has laid side by side are a step apart. With a small step it walks, with a large one it jumps.

    Args:
        step_size: sigma, in units of the latent coordinates.
        target_acceptance: adapt the step size to this during burn-in, and freeze it then; null: it is as given.
        generator, context: as for `FromGenerator`.

    Raises:
        ValueError: a number out of range; from `check`, a generator that is no invertible map.

    References:
        Noe, Olsson, Koehler, Wu, Science 365, eaaw1147 (2019), doi:10.1126/science.aaw1147.
    """

    def __init__(
        self,
        step_size: float = 0.2,
        target_acceptance: float | None = 0.4,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> None:
        FromGenerator.__init__(self, generator, context)
        Tuned.__init__(self, step_size, target_acceptance)

    def check(self, energy: Energy) -> None:
        super().check(energy)
        if not isinstance(self.proposer, Transport):
            name = type(self.proposer).__name__
            raise ValueError(
                f"LatentWalk walks in the latent space of a flow, and {name} is no invertible map: use Independence."
            )

    def complete(self, state: State) -> State:
        """Return the state as it is: density and Jacobian follow from the map in every move."""
        if state.waited is None:
            state = state._replace(waited=torch.zeros(len(state.x), 2, dtype=torch.float64, device=state.x.device))
        return state

    def step(self, energy: Energy, state: State, rng: torch.Generator) -> tuple[State, Info]:
        state, flow = self.complete(state), self.proposer
        assert isinstance(flow, Transport)  # `check` has refused others
        with torch.no_grad():
            z, back = flow.inverse(state.x.to(self.dtype), self.context)
            latent = flow.prior.space
            new_z = z + self._step * latent.noise(len(z), rng, z.dtype)
            inside = latent.contains(new_z) if latent.bounded else torch.ones_like(back, dtype=torch.bool)
            new_z = choose(inside, latent.wrap(new_z), z)
            x, ladj = flow(new_z, self.context)
            x = flow.complete(x, rng).to(state.x)
            u = torch.where(energy.in_region(x) & inside, energy(x), torch.inf)
        log_ratio = (state.u - u).double() + ladj.double() + back.double()
        accepted, probability = accept(log_ratio, rng)
        new = self.moved(state, choose(accepted, x, state.x), choose(accepted, u.to(state.u), state.u), None, ~accepted)
        return new, Info(probability, self.measure(probability))

    def measure(self, acceptance: Tensor) -> dict[str, Tensor]:
        return FromGenerator.measure(self, acceptance)

    def status(self, measured: Mapping[str, Tensor]) -> str:
        return FromGenerator.status(self, measured) if measured else f"latent step {self._step:.3g}"

    def summarise(self, energy: Energy, measured: Mapping[str, Tensor]) -> tuple[Numbers, list[str]]:
        info, problems = FromGenerator.summarise(self, energy, measured)
        return info | {"latent_step": self._step}, problems
