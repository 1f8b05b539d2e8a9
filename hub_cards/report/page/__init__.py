"""The report written: the page, its plots and tables, and its words."""
