"""Pushing a folder to the Hugging Face Hub in one commit, without keys, paths or half files."""
