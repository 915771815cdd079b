"""Data sets, transforms and converters."""
