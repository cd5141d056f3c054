"""Results: how they are kept, and the tables that are made of them.

Computing any of them does not belong here.
"""
