"""How weights come about: fitting in one of several ways, or reading those that somebody else has fitted.

A way of training belongs here, one file each: a class whose instances are called with ``fit.Fitting``.
Operations at sites, attacks and measurements do not.
"""
