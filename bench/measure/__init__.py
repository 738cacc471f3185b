"""Latency, MACs, parameters, memory and energy, each figure with its instrument."""
