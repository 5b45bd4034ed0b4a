"""Run folders to make pages of, and a browser to look at them with."""

import csv
import html as escaping
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache

import torch
import yaml
from snippets import ROOT

from lit_bg.energies import DoubleWell
from lit_bg.figures.style import new_figure, png
from lit_bg.report.assess import assess_samples
from lit_bg.report.origin import TrainedRun
from lit_bg.report.summary import Summary
from lit_bg.samples import Samples

KT = 2.4943  # [kJ/mol]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-background-networking", "--disable-gpu", "--virtual-time-budget=4000"]


@cache
def judged(shift: float = 0.0) -> Summary:
    """What a run of the double well says whose log q is off by a constant; zero of a good one."""
    wells = DoubleWell()
    x = wells.exact_samples(2000, torch.Generator().manual_seed(0))
    samples = Samples(x, -wells(x) - wells.log_Z - shift, wells(x))
    summary = assess_samples(wells, samples).summary
    return replace(summary, origin=TrainedRun("DoubleWell", "CouplingFlow", 100, 50, 1.5, 1000, None, kT=KT))


@cache
def blank() -> bytes:
    """A picture of nothing."""
    return png(new_figure(2, 2)[0])


def make_folder(folder, summary=None, epochs=2, figures=("weights", "energies"), molecule=False, metrics=True):
    """Leave in a folder what a run leaves there that a page shows."""
    (folder / "figures").mkdir(parents=True)
    config = {"trainer": {"max_epochs": epochs, "devices": None}, "model": {"loss": {"class_path": "ReverseKL"}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if summary is not None:
        summary.write(folder / "summary.json")
    with open(folder / "metrics.csv", "w", newline="") as file:
        rows = csv.DictWriter(file, ["step", "train/loss", "train/lr", "train/energy_calls", "val/ess", "val/energy_calls"])
        rows.writeheader()
        for step in range(5 if metrics else 0):
            rows.writerow({"step": step, "train/loss": -step, "train/lr": 0.1, "train/energy_calls": 10 * step + 10})
        if metrics:
            rows.writerow({"step": 5, "val/ess": 0.25, "val/energy_calls": 90})
            rows.writerow({"step": 6, "val/ess": 0.5, "val/energy_calls": 130})
    for name in figures:
        (folder / "figures" / f"{name}.png").write_bytes(blank())
    if molecule:
        (folder / "structures").mkdir()
        shutil.copyfile(ROOT / "experiments/alanine_dipeptide.pdb", folder / "structures" / "lowest_energy.pdb")
    return folder


def frames(texts, width):
    """A page that writes into its title how wide the content of others is in frames of this width, and what there is for it."""
    inside = "".join(f'<iframe width="{width}" height="700" srcdoc="{escaping.escape(text)}"></iframe>' for text in texts)
    script = """<script>addEventListener("load", function () {
        document.title = Array.from(document.querySelectorAll("iframe"),
            function (frame) {
                const root = frame.contentDocument.documentElement;
                return root.scrollWidth + " " + root.clientWidth;
            }).join(" ");
    });</script>"""
    return inside + script


def measure(folder, texts, width):
    """How wide the content of each page is in a window of this width, by a browser, and the room that there is beside a bar."""
    file = folder / "frames.html"
    file.write_text(f"<!doctype html><style>iframe {{ border: 0 }}</style><body>{frames(texts, width)}</body>")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'browser'}", "--dump-dom", file.as_uri()]
    said = subprocess.run(command, capture_output=True, text=True, timeout=240).stdout
    numbers = [int(number) for number in re.search(r"<title>([\d ]+)</title>", said)[1].split()]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
