"""What the randomness of a defence is worth against an attacker who knows that it is random.

Here belongs what an audit measures, checks and concludes. Attacks are in ``attacks``, intervals in
``measuring``.
"""
