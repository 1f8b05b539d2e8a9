"""Fine-tuning by a recipe: encoding, masks, checkpoints, exact resume.

A recipe and a data set come in; a model, its log and its record go out.
"""
