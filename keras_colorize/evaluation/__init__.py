"""How good the colours are: metrics, reports, plots."""
