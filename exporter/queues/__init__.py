"""Queue systems: one file each, and the explicit list of them."""
