"""Metrics and score fusion."""
