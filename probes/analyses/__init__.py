"""Analyses: each one function from stored draws to a typed result."""
