"""Attacks: texts, files and endpoints of others against what a user trusts this project with."""
