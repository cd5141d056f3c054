"""What is said of measured figures: the intervals of the project, and how two rankings agree.

Here belongs what knows figures alone; networks, records and the papers are not known here.
"""
