"""DDS2M: a diffusion chain tied to one cube, whose denoiser is an untrained network fitted on the way."""
