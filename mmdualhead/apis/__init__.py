"""Running models from Python."""
