"""JSON in and out: strict parsing, and camelCase documents of what the core returns."""
