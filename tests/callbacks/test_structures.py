"""The structures worth looking at."""

import pytest
import torch
from gaussian_proposal import GaussianProposal, TwoWells, assemble

from lit_bg.callbacks import Progress, Structures
from lit_bg.callbacks.structures import choose_structures
from lit_bg.samples import Samples


def test_the_lowest_and_the_heaviest_are_chosen():
    rng = torch.Generator().manual_seed(0)
    drawn = Samples(torch.randn(60, 2, generator=rng), torch.randn(60, generator=rng), torch.randn(60, generator=rng))
    drawn.u[20] = -torch.inf  # not finite: no structure to show
    drawn.u[41] = torch.nan
    finite = torch.where(drawn.finite, drawn.u, torch.inf)
    chosen = choose_structures(drawn, 3)
    lowest, heaviest = chosen["lowest_energy"], chosen["highest_weight"]
    assert torch.equal(lowest.u, finite.sort().values[:3])
    assert torch.equal(heaviest.log_w, drawn.log_w.sort(descending=True).values[:3])
    assert torch.equal(lowest.x[0], drawn.x[finite.argmin()])
    assert len(choose_structures(drawn, 100)["lowest_energy"].x) == 58


def test_other_systems_have_no_structures(tmp_path):
    module, data, trainer = assemble(tmp_path, TwoWells(), GaussianProposal(), [Structures()])
    trainer.test(module, data, verbose=False)
    assert not (tmp_path / "run/version_0/structures").exists()


@pytest.mark.slow  # tests/test_simulate.py goes from a PDB to structures too
@pytest.mark.filterwarnings("ignore")
def test_a_molecule_leaves_pdb_files(tmp_path, monkeypatch):
    """Alanine dipeptide around its topology file: the files are read back by mdtraj."""
    import mdtraj

    from lit_bg.energies import Molecule
    from lit_bg.runs.loggers import wandb_logger

    class Rattled(GaussianProposal):
        """Gaussian noise on every atom of one structure."""

        def build(self, energy):
            super().build(energy)
            self.loc.data.copy_(energy.initial[0])
            return self

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "run" / "version_0"
    logger = wandb_logger(run, "molecule", {})
    energy = Molecule("experiments/alanine_dipeptide.pdb", forcefield=["amber96.xml", "implicit/obc1.xml"])
    from lit_bg.data.module import Data

    module, data, trainer = assemble(
        tmp_path, energy, Rattled(scale=0.005), [Structures(n=4)], data=Data(test_samples=30), loggers=[logger]
    )
    trainer.test(module, data, verbose=False)
    logger.experiment.finish()
    frames = mdtraj.load(str(run / "structures" / "lowest_energy.pdb"))
    assert frames.n_frames == 4
    with torch.no_grad():
        u = energy(torch.from_numpy(frames.xyz))
    assert (u.diff() > -1.0).all()  # best first, up to the three decimals of a pdb file
    shown = list(run.glob("wandb/offline-run-*/files/media/molecule/sample/*.pdb"))
    assert {p.name.split("_0_")[0] for p in shown} == {"lowest_energy", "highest_weight"}


def test_progress_says_the_same_without_a_terminal(tmp_path, capsys):
    from lit_bg.callbacks import Diagnose

    module, data, trainer = assemble(
        tmp_path, TwoWells(1.0), GaussianProposal(), [Progress(), Diagnose()], enable_progress_bar=True
    )
    trainer.fit(module, data)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step 5: ")]
    assert len(lines) == 1
    assert "loss " in lines[0]
    assert "ESS 0." in lines[0]
    assert "energy calls 820" in lines[0]
