"""Boltzmann generators: sample exp(-U/kT) with generative models, corrected to it exactly."""
