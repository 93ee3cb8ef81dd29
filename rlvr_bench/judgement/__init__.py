"""From measured accuracies to verdicts: which models enter which estimate, decided and described."""
