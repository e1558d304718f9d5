"""The page of explore.py: a model's views, the local server, and saved pages."""
