"""Running a plan: workers that do one stage each, and the one loop that hands stages to them."""
