"""How good the colors are: metrics, reports, plots."""
