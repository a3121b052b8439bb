"""What a TorchServe is set to, and what it needs on its machine."""
