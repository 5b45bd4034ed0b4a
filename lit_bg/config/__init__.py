"""Configurations and command lines: reading an experiment, and saying in a sentence what is wrong with it."""
