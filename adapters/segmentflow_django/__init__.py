"""segmentflow in Django: an app whose migrations make the tables."""
