"""Measures what the documentation promises: ratios against code written by hand, in one run."""
