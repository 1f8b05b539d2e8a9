"""Pushing a folder to the Hugging Face Hub in one commit, without keys, paths or incomplete files.

Files and a card come in; one commit goes out.
"""
