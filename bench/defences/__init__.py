"""Defences that are not dropout, one file each, all named by files in conf/scheme.

Two kinds belong here: operations at sites, as ``bench.schemes`` describes them, and ways of training,
as ``bench.training`` does. Attacks, rates and which sites there are do not.
"""
