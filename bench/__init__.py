"""bench: how well does a random defence hold? A robustness benchmark on Foolbox 3 and PyTorch."""
