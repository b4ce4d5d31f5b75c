"""Kills during load: what was acknowledged is there, once, whole; the figures say so."""
