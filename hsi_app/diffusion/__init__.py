"""Diffusion sampling of coefficient images: schedules, priors, data terms and the loop. None knows the others."""
