"""The run folder: every path, every durable write, and where numbers come from."""
