"""What the schema refuses is wrong, and what an experiment may say passes; nothing heavy is imported for it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_experiment import SMALL

from lit_bg.console.check import find_problem

ROOT = Path(__file__).parent.parent.parent
DOUBLE_WELL = str(ROOT / "experiments/double_well.yaml")
FLOW = "--model.generator=ContinuousFlow"


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_passes(path):
    assert find_problem(["-c", str(path)]) is None


WRONG = {
    "a key": (["--model.generator.init_args.blocs=3"], ["unknown key 'blocs'", "did you mean 'blocks'?", "CouplingFlow takes"]),
    "a key without init_args": (["--model.generator.blocs", "3"], ["(--model.generator.blocs)", "'blocks'"]),
    "an abbreviation": (["--trainer.max_epoch", "1"], ["(--trainer.max_epoch)", "did you mean 'trainer.max_epochs'?"]),
    "another case": (["--model.energy.kt=1"], ["did you mean 'kT'?", "DoubleWell takes dim"]),
    "a section": (["--modle.seed=3"], ["unknown key 'modle'", "did you mean 'model'?"]),
    "a key of a section alone": (["--max_epochs=3"], ["did you mean 'trainer.max_epochs'?"]),
    "a key of a section's value": (["--data={batch_siz: 3}"], ["'batch_siz' (--data, batch_siz)", "'data.batch_size'"]),
    "a class": (["--model.energy=DubleWell"], ["no class 'DubleWell' for model.energy", "did you mean 'DoubleWell'?"]),
    "a class that is like none": (["--model.loss=Nope"], ["there are", "ReverseKL", "needs its full import path"]),
    "a class by its path": (["--model.energy=lit_bg.energies.DoubelWell"], ["did you mean 'lit_bg.energies.DoubleWell'?"]),
    "a class elsewhere": (["--model.energy=lit_bg.nowhere.DoubleWell"], ["did you mean 'lit_bg.energies.DoubleWell'?"]),
    "a class of torch": (["--model.optimizer=torch.optim.Adm"], ["'torch.optim.Adam'"]),
    "torch itself": (["--model.optimizer=troch.optim.Adam"], ["did you mean 'torch.optim.Adam'"]),
    "a class beside a file": (["--data.path=data.npz", "--model.energy=DubleWell"], ["'DoubleWell'"]),
    "an argument of torch": (["--model.optimizer.lrr=3"], ["did you mean 'lr'?", "Adam takes lr, betas"]),
    "another kind": (["--model.loss=CouplingFlow"], ["'CouplingFlow' is not what model.loss needs (--model.loss)"]),
    "a class as class_path": (["--model.energy.class_path=DoubeWell"], ["'DoubleWell'"]),
    "a key of values": (["--data.log_Z={value: 3, eror: 2}"], ["did you mean 'error'?", "IndependentLogZ takes"]),
    "a key of the ladder": (["--simulate=ReplicaExchange", "--simulate.ladder.rung=3"], ["'rungs'"]),
    "a callback": (["--trainer.callbacks+=EMMA"], ["no class 'EMMA' for trainer.callbacks", "'EMA'"]),
    "a key of a callback": (["--trainer.callbacks+=EMA", "--trainer.callbacks.init_args.decai=0"], ["'decay'"]),
    "a key in a list": (["--trainer.callbacks=[{class_path: EMA, init_args: {decai: 0}}]"], ["[0].init_args.decai", "'decay'"]),
    "a key of a part": ([FLOW, "--model.generator.field=EGNN", "--model.generator.field.layerz=2"], ["EGNN takes layers"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_the_right_name(name):
    args, words = WRONG[name]
    said = find_problem(["-c", DOUBLE_WELL, *args])
    assert said is not None
    assert [word for word in words if word not in said] == []


RIGHT = {
    "dots": ["--model.generator.init_args.blocks=4", "--model.generator.blocks", "4"],
    "null": ["--model.lr_scheduler=null", "--trainer.callbacks", "null", "--simulate=null"],
    "callbacks": ["--trainer.callbacks+=EMA", "--trainer.callbacks.decay=0.9", "--trainer.callbacks+={class_path: Figures}"],
    "one callback": ["--trainer.callbacks={class_path: NonFiniteGuard, init_args: {limit: 3}}"],
    "callbacks of Lightning": ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=x"],
    "another class": [FLOW, "--model.generator.field=EGNN", "--model.generator.field.layers=2"],
    "a section": ["--trainer={max_epochs: 3}", "--data={batch_size: 3, path: null}"],
    "help": ["--model.generator.help=CouplingFlow", "--model.energy.help", "DoubleWell", "--print_config"],
    "words": ["--trainer.strategy=nope", "--trainer.logger=false", "--trainer.devices+=1", "--trainer.accelerator", "cpu"],
    "one's own": ["--model.energy=pendulum.Pendulum", "--model.energy.anything=3", "--model.loss=LogVarianceOfMine"],
    "one's own that is not there": ["--model.energy=no_such_package.Pendulum"],
    "interpolations": ["--model.energy.kT=${data.held_out}", "--model.loss=${model.loss}", "--data.source=${nowhere}"],
    "the place of another class": ["--model.energy=lit_bg.energies.molecule.Energy", "--model.optimizer=torch.nn.Linear"],
    "a name that two have": ["--model.lr_scheduler=ReduceLROnPlateau", "--model.lr_scheduler.whatever=3"],
    "arguments by keyword": ["--model.optimizer.dict_kwargs.x=3", "--model.loss={class_path: ReverseKL, dict_kwargs: {a: 1}}"],
    "names of the run": ["--name", "x", "--version=3", "--runs", "r", "--ckpt_path=last", "--seed_everything", "3"],
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_may_be_right_is_let_pass(name):
    assert find_problem(["-c", DOUBLE_WELL, *RIGHT[name]]) is None


class TestFiles:
    @pytest.fixture(autouse=True)
    def _inside(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_the_line_is_told(self):
        Path("x.yaml").write_text("model:\n  energy:\n    class_path: DoubleWell\n    init_args: {dimm: 2}\n")
        assert find_problem(["-c", "x.yaml"]).startswith(
            "unknown key 'dimm' (x.yaml, line 4, model.energy.init_args.dimm), did you mean 'dim'?"
        )

    def test_a_second_file_changes_the_first(self):
        Path("x.yaml").write_text(yaml.safe_dump(SMALL))
        Path("y.yaml").write_text("model: {generator: {init_args: {blocks: 3}}, energy: {class_path: MuellerBrown}}\n")
        Path("z.yaml").write_text("model: {energy: {init_args: {dim: 3}}, generator: {init_args: {bloks: 1}}}\n")
        assert find_problem(["-c", "x.yaml", "--config=y.yaml"]) is None
        assert "(z.yaml, line 1, model.generator.init_args.bloks)" in find_problem(["-c", "x.yaml", "-c", "z.yaml"])

    def test_a_section_of_its_own(self):
        Path("energy.yaml").write_text("class_path: DoubleWell\ninit_args: {dim: 3}\n")
        Path("data.yaml").write_text("batch_sise: 3\n")
        Path("x.yaml").write_text("model: {energy: energy.yaml}\n")
        assert find_problem(["-c", "x.yaml"]) is None
        assert "did you mean 'batch_size'?" in find_problem(["-c", DOUBLE_WELL, "--data", "data.yaml"]).replace(
            "data.batch", "batch"
        )

    def test_merged_keys_have_no_line(self):
        Path("x.yaml").write_text("data:\n  <<: {batch_sise: 3}\n")
        assert find_problem(["-c", "x.yaml"]).startswith("unknown key 'batch_sise' (x.yaml, data.batch_sise)")

    def test_a_class_without_its_name(self):
        Path("x.yaml").write_text("model: {energy: {clas_path: DoubleWell}}\n")
        assert "did you mean 'class_path'?" in find_problem(["-c", "x.yaml"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["lit_bg.fit", "-c", DOUBLE_WELL, "--trainer.max_epoch=1"], "did you mean 'trainer.max_epochs'?"),
        (["lit_bg", "fit", "-c", DOUBLE_WELL, "--model.energy=DubleWell"], "did you mean 'DoubleWell'?"),
        (["lit_bg.simulate", "-c", DOUBLE_WELL, "--simulate=Exat"], "did you mean 'Exact'?"),
    ],
)
def test_it_is_told_without_torch(command, words):
    name, *args = command
    code = (
        f"import sys, runpy; sys.argv[1:] = {args}\ntry:\n runpy.run_module('{name}', run_name='__main__')\n"
        "except SystemExit as end: sys.exit(100 if 'torch' in sys.modules else end.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("lit_bg: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
