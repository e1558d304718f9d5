"""The views of the page; a file for each, with its script in static/views/."""
