"""A pretrained network of one's own under dropout: what is left of two attacks on draws they have not seen.

python docs/examples/make_net.py && python docs/examples/own_network.py
"""

import torch

import bench

net = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
)
net.load_state_dict(torch.load("net.pt", weights_only=True))
images, labels = bench.load_dataset("digits").test(100, right_by=net)
defended = bench.Defended(net, sites={"hidden": "2"}, scheme={"hidden": 0.5}, bounds=(0, 1))
result = bench.evaluate(defended, images, labels, attacks=["deepfool", ("pgd", 0.1)], draws=100)
print(result.table)

print("\nsamples of the network without dropout, under dropout:")
alone = bench.evaluate(defended.twin, images, labels, attacks=["deepfool"])
print(bench.measure(defended, alone.samples["deepfool"], labels, draws=100))

print("\nthe stronger of the two attacks for each image:")
print(result.worst_case())
