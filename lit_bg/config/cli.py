"""Reading an experiment's YAML: types and spelling are checked before anything is built."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from omegaconf import OmegaConf

import lit_bg.bases

# Importing a package makes its classes known by their short names in YAML.
import lit_bg.callbacks
import lit_bg.data
import lit_bg.energies
import lit_bg.generators
import lit_bg.interpolants
import lit_bg.kernels
import lit_bg.losses
import lit_bg.losses.pairings
import lit_bg.molecules.topologies
import lit_bg.nets
import lit_bg.samplers
import lit_bg.simulators
import lit_bg.solvers
import lit_bg.transforms
from lit_bg.callbacks.observer import Observer
from lit_bg.config.command_line import complain
from lit_bg.config.errors import explain, reason_of
from lit_bg.config.moved import find_moved, name_as_now
from lit_bg.config.numbers import find_problems
from lit_bg.config.portable import leave_out_unset, make_relative
from lit_bg.data.module import Data
from lit_bg.energies.base import Energy
from lit_bg.energies.trial import try_energy
from lit_bg.module import BoltzmannGenerator
from lit_bg.simulators.base import Simulator

# A configuration may be somebody else's, and a run folder holds every value of it: `${oc.env:TOKEN}` would publish a secret.
OmegaConf.clear_resolver("oc.env")
find_moved()


class Parser(LightningArgumentParser):
    """Parses experiments, takes no abbreviations, and says what is wrong in one sentence with the way out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if os.environ.get("LIT_BG_TRACEBACK") and ex is not None:
            raise ex
        complain(explain(message, self._suggest))

    def instantiate(self, *args: Any, **kwargs: Any) -> Namespace:
        """Build everything, and check what can be checked only when all parts are there.

        Raises:
            ValueError: what cannot be built, or does not fit.
        """
        with sentences():
            built = super().instantiate(*args, **kwargs)
        if isinstance(getattr(built, "model", None), BoltzmannGenerator):
            settings = built.trainer
            if isinstance(settings.callbacks, Callback):  # Lightning takes one without a list
                settings.callbacks = [settings.callbacks]
            epochs, limit = settings.max_epochs, settings.max_steps
            lengths = [] if limit is None or limit < 0 else [limit]
            if epochs is not None and epochs >= 0:
                lengths.append(epochs * built.data.steps_per_epoch)
            built.model.check_optimizer(min(lengths, default=None))
            for callback in settings.callbacks or []:
                if isinstance(callback, Observer):
                    callback.check(built.model.energy)
        return built

    def _suggest(self, word: str, classes: bool = False) -> str:
        known = {c.__name__ for c in _public_classes()} if classes else self._known_keys()
        wrong = next((part for part in word.split(".") if part not in known), word)
        close = difflib.get_close_matches(wrong, known, 1, 0.7)
        return f", did you mean '{close[0]}'?" if close else ""

    def _known_keys(self) -> set[str]:
        """Return every key of the parser and every argument of the classes that a YAML can name."""
        keys = {part for action in self._actions for part in action.dest.split(".")}
        return keys.union(*(inspect.signature(c).parameters for c in _public_classes()))


def _public_classes() -> list[type]:
    """Return the classes that a YAML can name without their module."""
    classes = [c for package in public_packages() for c in vars(package).values() if isinstance(c, type)]
    return [c for c in classes if not issubclass(c, BaseException)]


def public_packages() -> list[ModuleType]:
    """Return the packages whose classes a YAML can name without their module."""
    named = "bases callbacks data energies generators interpolants kernels losses nets"
    named += " samplers simulators solvers transforms"
    packages = [getattr(lit_bg, name) for name in named.split()]
    return [*packages, lit_bg.losses.pairings, lit_bg.molecules.topologies]


@contextmanager
def sentences() -> Iterator[None]:
    """Turn whatever a class raises while it is built into what the command line tells as a sentence.

    Raises:
        ValueError: for an exception that says nothing to who did not write the class; the traceback shows the original.
    """
    try:
        yield
    except ArgumentError as error:
        raise ValueError(explain(str(error), lambda *_, **__: "")) from error
    except (ValueError, TypeError) as error:
        raise reason_of(error) from error
    except (OSError, ImportError, MisconfigurationException):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        full = isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text
        reason = "it needs more memory than there is" if full else f"{type(error).__name__}: {text[:300]}"
        raise ValueError(
            f"the configuration asks for what cannot be built ({reason}): "
            f"{'make sizes smaller' if full else 'look at its values'}; LIT_BG_TRACEBACK=1 shows where."
        ) from error


class CLI(LightningCLI):
    """Parses and checks an experiment; building is a step of its own.

    `run=False` and `load_from_checkpoint_support=False`: with sub-commands a checkpoint's hyper-parameters silently beat
    the command line on resume.
    """

    def __init__(self, args: list[str] | dict[str, Any] | None = None, prog: str = "python -m lit_bg.fit") -> None:
        try:
            super().__init__(
                BoltzmannGenerator,
                Data,
                save_config_callback=None,
                trainer_class=Trainer,
                trainer_defaults={
                    "inference_mode": False,
                    "enable_autolog_hparams": False,
                    "use_distributed_sampler": False,
                    "num_sanity_val_steps": 0,
                    "log_every_n_steps": 10,
                    "enable_model_summary": False,
                },
                seed_everything_default=0,
                parser_kwargs={"parser_mode": "omegaconf+", "prog": prog},
                parser_class=Parser,
                args=args,
                run=False,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        except Exception as error:  # parsing imports the classes that are named, and they may raise anything
            if os.environ.get("LIT_BG_TRACEBACK"):
                raise
            complain(f"the configuration cannot be read ({type(error).__name__}: {str(error)[:300]}).")
        if problem := next(find_problems(self.config.as_dict()), None):
            complain(problem)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--name", type=str | None, help="experiment; default: name of the YAML file")
        parser.add_argument("--version", type=int | None, help="run number; default: the next free one")
        parser.add_argument("--runs", type=str, default="runs", help="folder of all runs")
        parser.add_argument("--ckpt_path", type=str | None, help="resume: 'last' (of the newest run) or a checkpoint file")
        parser.add_argument("--simulate", type=Simulator | None, help="how `python -m lit_bg.simulate` makes data.path")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)

    def instantiate_classes(self) -> None:
        """Build nothing yet: what can be checked without building is checked first."""

    def _set_seed(self) -> None:
        """Set no seed while parsing: `seed_everything` is called by what trains."""

    @property
    def seed(self) -> int:
        """Return the seed of the whole run."""
        return int(self.config.seed_everything)

    @property
    def experiment(self) -> str:
        """Return the name of the experiment."""
        if self.config.name:
            return str(self.config.name)
        return Path(str(self.config.config[0])).stem if self.config.get("config") else "experiment"

    def portable_config(self) -> dict[str, Any]:
        """Return the full configuration without what belongs to one machine or one call: no absolute path."""
        config = self.config.clone()
        for key in ("config", "ckpt_path", "version"):
            config.pop(key, None)
        config.name = self.experiment
        plain = name_as_now(leave_out_unset(make_relative(self.parser_dict(config))))
        plain["model"].pop("seed", None)  # linked to seed_everything
        return plain

    def parser_dict(self, config: Namespace) -> dict[str, Any]:
        import yaml

        return yaml.safe_load(self.parser.dump(config, skip_validation=True, skip_none=False))


def build(type_: type, config: Any) -> Any:
    """Build one object from its part of a configuration, such as the energy alone."""
    parser = ArgumentParser(exit_on_error=False, parser_mode="omegaconf+")
    parser.add_argument("--it", type=type_)
    with sentences():
        it = parser.instantiate(parser.parse_object({"it": config})).it
    if isinstance(it, Energy):
        try_energy(it)
    return it
