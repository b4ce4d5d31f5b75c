"""segmentflow-core."""
