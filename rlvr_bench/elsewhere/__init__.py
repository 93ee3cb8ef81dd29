"""Results made elsewhere: a table of accuracies, or lm-eval output folders. Files from outside are untrusted input."""
