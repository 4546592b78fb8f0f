"""The Oxford (VGG) Paintings Dataset: from its spreadsheet of URLs to a folder of images."""

from keras_colorize.oxford.fetch import FetchSummary, fetch_oxford_paintings

__all__ = ["FetchSummary", "fetch_oxford_paintings"]
