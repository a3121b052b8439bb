"""The adapter that TorchServe imports: its batches, its limits, its metrics."""
