"""Runs: the folder that a training leaves, loading it, going on with it, and its loggers."""
