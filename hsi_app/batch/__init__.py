"""Many scenes with one recipe: planned, resumed, spread over processes or a cluster, and accounted for."""
