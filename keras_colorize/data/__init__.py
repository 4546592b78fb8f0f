"""Where images come from, and the batches made of them."""

from keras_colorize.data.oxford import FetchSummary, fetch_oxford_paintings

__all__ = ["FetchSummary", "fetch_oxford_paintings"]
