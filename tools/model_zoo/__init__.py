"""The configs and results of this project, as lists and tables."""
