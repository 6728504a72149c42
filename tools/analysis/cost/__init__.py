"""Arithmetic of tools/analysis/scaling.py: what one training step costs, for any number of GPUs."""
