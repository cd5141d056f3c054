"""Trains a small network on scikit-learn's embedded digits, without anything random, and saves its weights.

    python docs/examples/make_net.py

writes net.pt, a plain state dict, into the current folder: the weights of one's own in the other examples.
"""

import torch

import bench

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
)
images, labels = bench.load_dataset("digits").train()
optimiser = torch.optim.Adam(net.parameters(), lr=0.003)
for _ in range(20):
    for rows in torch.randperm(len(images)).split(64):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
        optimiser.step()
test_images, test_labels = bench.load_dataset("digits").test()
accuracy = (net(test_images).argmax(-1) == test_labels).float().mean()
torch.save(net.state_dict(), "net.pt")
print(f"net.pt: {100 * accuracy:.1f} % of 500 test images right")
