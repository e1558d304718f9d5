"""Runs as Python values, one file per script."""
