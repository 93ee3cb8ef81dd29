"""From suite, method and cards to a plan. Pure: no GPU, no network, no clock, no files."""
