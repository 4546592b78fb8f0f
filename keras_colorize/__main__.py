"""`python -m keras_colorize` is the command `keras-colorize`."""

from keras_colorize.cli import main

main()
