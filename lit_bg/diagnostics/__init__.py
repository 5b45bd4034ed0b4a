"""Diagnostics: pure functions from one pooled evaluation to what it says."""
