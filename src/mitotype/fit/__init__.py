"""One experiment: recipe, samplers, mixing, loop, run. One run is one folder."""
