"""The contenders: networks of the same size from public packages, and two of our own to compare with."""

from importlib import metadata

import torch
from torch import nn
from torch.nn import functional as F

import made


class PlainMadeLayer(nn.Linear):
    """What most short implementations do: the weight times the mask, at every call."""

    def __init__(self, mask):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.float())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


def stack(layers):
    """Layers with ReLU in between."""
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


def plain(n_features, hidden):
    return stack([PlainMadeLayer(mask) for mask in made.Connectivity.create(n_features, hidden).masks()])


def zuko(n_features, hidden):
    from zuko.nn import MaskedMLP

    adjacency = torch.ones(n_features, n_features, dtype=torch.bool).tril(-1)
    return MaskedMLP(adjacency, hidden_features=list(hidden), activation=nn.ReLU)


def nflows_like(module):
    """nflows, and normflows, which took its code over."""

    def build(n_features, hidden):
        return module().MADE(
            features=n_features,
            hidden_features=hidden[0],
            num_blocks=len(hidden) - 1,
            output_multiplier=1,
            use_residual_blocks=False,
            random_mask=False,
            activation=F.relu,
        )

    return build


def nflows_module():
    from nflows.transforms import made as module

    return module


def normflows_module():
    from normflows.nets import made as module

    return module


def pyro(n_features, hidden):
    from pyro.nn import AutoRegressiveNN

    return AutoRegressiveNN(n_features, list(hidden), param_dims=[1], permutation=torch.arange(n_features))


PEERS = {
    "zuko": zuko,
    "nflows": nflows_like(nflows_module),
    "normflows": nflows_like(normflows_module),
    "pyro": pyro,
    "plain masked multiply": plain,
}
PACKAGES = {"zuko": "zuko", "nflows": "nflows", "normflows": "normflows", "pyro": "pyro-ppl"}


def build_peers(n_features, hidden):
    """The networks that can be had, and for the others the reason why not. Same widths, natural order, ReLU."""
    networks, absent = {}, {}
    for name, build in PEERS.items():
        torch.manual_seed(0)
        try:
            networks[name] = build(n_features, hidden).eval()
        except (ImportError, ValueError) as error:  # not installed, or pyro with fewer hidden units than variables
            absent[name] = str(error)
    return networks, absent


def logits(network, x):
    """Raw outputs of a peer, shape (B, D)."""
    return network(x).reshape(x.shape)


def nll(network, x):
    """Mean negative log-likelihood of binary rows under a peer."""
    return F.binary_cross_entropy_with_logits(logits(network, x), x, reduction="none").sum(-1).mean()


def masked_once(model):
    """The masked weights of a made model in ordinary linear layers, direct connections left out."""
    layers = []
    for layer in [*model.hidden, model.output]:
        linear = nn.Linear(layer.in_features, layer.out_features)
        linear.weight.data, linear.bias.data = layer.masked_weight().data, layer.bias.data
        layers.append(linear)
    return stack(layers).eval()


def unmasked_pass(model):
    """A forward pass of a made model, from encoded inputs to raw outputs; its weights are masked here, once."""
    layers = masked_once(model)
    if model.direct is None:
        return layers
    direct = model.direct.masked_weight().detach()
    return lambda inputs: layers(inputs) + F.linear(inputs, direct)


def sample(network, n, n_features, start=0, given=None):
    """Draw binary rows variable by variable: one pass each. With ``given``, the first ``start`` are known."""
    x = torch.zeros(n, n_features) if given is None else given.nan_to_num(0)
    for i in range(start, n_features):
        x[:, i] = torch.bernoulli(torch.sigmoid(logits(network, x)[:, i]))
    return x


def versions():
    """Versions of the packages that are installed."""
    found = {"made": made.__version__, "torch": torch.__version__}
    for name, package in PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
