"""The leaderboard: submissions, their referee, the site. Submitted files are hostile until checked, and never run."""
