"""Makes the pictures of the plugin that README and guide show; ``python -m plugins.screenshots --help``."""
