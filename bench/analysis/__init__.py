"""What is said of sweeps: tables for the terminal, and pictures.

Here belongs what is read off records that are there; nothing is attacked.
"""
