"""The tables of the paper, trained and tested again."""
