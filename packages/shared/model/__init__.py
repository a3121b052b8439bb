"""What a model declares: metadata, its fields, plain values, serving options."""
