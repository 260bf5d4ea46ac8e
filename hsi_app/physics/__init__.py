"""What an observation does to a cube: linear operators, noise models, named degradations."""
