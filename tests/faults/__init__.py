"""Everything that a Redis can do to a site, done to it: see test_matrix.py."""
