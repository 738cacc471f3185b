"""Optimisers: classic iterations, and networks that unroll them."""
