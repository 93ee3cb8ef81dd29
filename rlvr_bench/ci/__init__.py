"""The CI gate: is a run worse than the accepted one, and how a pull request is told."""
