"""Invertible maps with their Jacobians."""
