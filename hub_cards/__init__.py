"""Publishing on the Hugging Face Hub: data sets, models, results and a page, with cards that are complete."""
