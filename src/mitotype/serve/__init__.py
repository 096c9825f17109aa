"""HTTP around classify: images in, predictions out, in batches over all requests."""
