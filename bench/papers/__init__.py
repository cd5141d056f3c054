"""The published tables of the papers, with their errata, beside what was measured.

One module a paper, its printed numbers in ``tables/``. Here belongs what is said about a paper; how
anything is measured does not.
"""
