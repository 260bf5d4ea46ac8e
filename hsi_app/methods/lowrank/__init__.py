"""Low-rank restoration: the baseline every other method must beat."""
