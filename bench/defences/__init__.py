"""Ways of training, one file each, as ``bench.training`` describes them; named by files in conf/scheme.

Operations at sites, attacks, rates and which sites there are do not belong here.
"""
