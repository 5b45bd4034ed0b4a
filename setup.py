"""What pyproject.toml cannot say: a wheel holds the experiments as lit_bg/experiments, of which the repository has one copy."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithExperiments(build_py):
    """Copies what a run reads, YAMLs and structures; a checkout that is installed with `pip install -e` has them beside it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for file in sorted((ROOT / "experiments").rglob("*")):
            if file.suffix in (".yaml", ".pdb"):
                target = Path(self.build_lib, "lit_bg", file.relative_to(ROOT))
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target), preserve_mode=False)


setup(cmdclass={"build_py": BuildWithExperiments})
