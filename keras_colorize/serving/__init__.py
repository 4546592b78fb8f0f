"""Models as servers load them."""
