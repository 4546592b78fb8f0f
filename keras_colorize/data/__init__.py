"""Where pictures come from, and the batches made of them."""
