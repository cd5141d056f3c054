"""What was computed, as it is kept and as it is read: sweeps, their records, the columns of their tables.

Here belongs whatever reads a record or a manifest for others. What is concluded from them is in ``analysis``.
"""
