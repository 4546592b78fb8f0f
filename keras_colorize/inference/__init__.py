"""Images of any size through a generator, at full resolution."""
