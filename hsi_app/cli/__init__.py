"""The command line, ``hsi-app``."""
