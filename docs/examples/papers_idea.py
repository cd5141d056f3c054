"""The papers' idea on digits: adversarial samples rarely hold on another draw, unless one asks for more.

python docs/examples/make_net.py && python docs/examples/papers_idea.py
"""

import torch

import bench

net = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10)
)
net.load_state_dict(torch.load("net.pt", weights_only=True))
images, labels = bench.load_dataset("digits").test(30, right_by=net)
# C&W's L2 attack as published, and with a margin (kappa 5), for who knows that the defence is random
attacks = ["cw_l2", "cw_l2_confident"]
for rate in (0.0, 0.1, 0.5):
    defended = bench.Defended(net, sites={"hidden": "2"}, scheme={"hidden": rate})
    table = bench.evaluate(defended, images, labels, attacks).table.set_index("attack")
    claims, holds = table["claimed_success_pct"], table["fresh_success_pct"]
    for name in attacks:
        print(f"dropout {rate:.1f}  {name:15}  claims {claims[name]:5.1f} %, holds on {holds[name]:5.1f} %")
