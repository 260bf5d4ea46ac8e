"""HIR-Diff: restoration with a diffusion prior for images, in the spectral subspace of the scene."""
