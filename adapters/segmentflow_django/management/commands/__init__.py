"""`segmentflow_work` and `segmentflow_retain`."""
