"""What a run's own curves and counts say about its health."""
