"""MP-HSIR: one prompted network for every degradation."""
