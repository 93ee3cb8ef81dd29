"""Numbers: pure functions of arrays. No files, no clock, no global generator."""
