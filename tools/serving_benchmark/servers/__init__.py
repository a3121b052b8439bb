"""What a user of each system writes to serve the model."""
