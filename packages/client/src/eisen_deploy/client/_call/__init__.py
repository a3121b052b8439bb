"""One call: what is sent, when it is sent again, and what the answer means."""
