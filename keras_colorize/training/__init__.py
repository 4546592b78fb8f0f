"""From networks and batches to the folder of a run."""
