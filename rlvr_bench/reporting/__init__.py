"""A report for people and programs. The only place where proportions become points."""
