"""Tasks: what they are (`task`) and where they run: in this process, in a pool of processes (`local`) or on Ray (`on_ray`)."""
