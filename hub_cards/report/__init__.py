"""The report: results of any number of runs as a page, as tables and as plots.

`results` reads, `stats` computes, `study` compares, `page` writes.
"""
