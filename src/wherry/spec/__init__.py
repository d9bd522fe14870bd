"""Values of the field: digests, descriptors, manifests, image configs, runtime specs."""
