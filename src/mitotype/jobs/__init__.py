"""Many experiments: which they are (`grid`), where they run (`where`), the benchmark over them and its table."""
