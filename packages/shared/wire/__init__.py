"""The Open Inference Protocol: bodies of requests and replies, and what one may cost."""
