"""Measures what the contract promises: ratios against code written by hand, in one run."""
