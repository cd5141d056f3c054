"""The published tables of the papers, with their errata, beside what was measured.

A paper is a list of claims beside its printed tables, which are in ``tables/``: one module has its tables,
another its claims. Here belongs what is said about a paper; how anything is measured does not.
"""
