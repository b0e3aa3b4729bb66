"""Recipes: whole tasks, from data to report."""
