"""SVG pictures: training curves, heat maps, and the charts of report.html."""
