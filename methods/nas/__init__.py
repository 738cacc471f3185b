"""Searches for architectures, scores that rank them, and the baselines beside them."""
