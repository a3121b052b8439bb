"""From requests to replies: the stages of a request, batches, limits, the self-test."""
