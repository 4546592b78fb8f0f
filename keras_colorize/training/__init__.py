"""From networks and batches to a run directory."""
