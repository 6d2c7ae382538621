"""The contenders: public packages, brought to the same function as a network of ours, and rivals written by hand."""

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
    """nflows, and normflows, which took its code over without the activation after the first layer: it is put back."""

    def build(n_features, hidden):
        network = module().MADE(
            features=n_features,
            hidden_features=hidden[0],
            num_blocks=len(hidden) - 1,
            output_multiplier=1,
            use_residual_blocks=False,
            random_mask=False,
            activation=F.relu,
        )
        if "normflows" in type(network).__module__:
            network.initial_layer = nn.Sequential(network.initial_layer, nn.ReLU())
        return network

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


class WithDirect(nn.Module):
    """A peer, and the direct connections of a made model, masked beforehand: no package has them in this form."""

    def __init__(self, network, direct):
        super().__init__()
        self.network = network
        self.register_buffer("direct", direct.masked_weight().detach())

    def forward(self, x):
        return logits(self.network, x) + F.linear(x, self.direct)


def masked_layers(network):
    """The layers of a peer that have a mask, from inputs to outputs."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear) and hasattr(layer, "mask")]


def same_function(network, model):
    """The peer with masks, weights and biases of a made model, in evaluation mode."""
    for layer, ours in zip(masked_layers(network), [*model.hidden, model.output], strict=True):
        layer.mask = ours.mask.to(layer.mask.dtype)
        layer.weight.data, layer.bias.data = ours.weight.detach().clone(), ours.bias.detach().clone()
    return (network if model.direct is None else WithDirect(network, model.direct)).eval()


def build_peers(model):
    """The peers that can be had, all the same function as ``model``, and for the others the reason why not."""
    networks, absent = {}, {}
    for name, build in PEERS.items():
        try:
            networks[name] = same_function(build(model.n_features, model.config.hidden), model)
        except (ImportError, ValueError) as error:  # not installed, or pyro with fewer hidden units than variables
            absent[name] = str(error)
    return networks, absent


def logits(network, x):
    """Raw outputs of a peer, shape (B, D)."""
    return network(x).reshape(x.shape)


def nll(network, x):
    """Mean negative log-likelihood of binary rows under a peer."""
    return F.binary_cross_entropy_with_logits(logits(network, x), x, reduction="none").sum(-1).mean()


def unmasked_pass(model):
    """A forward pass of a made model, from encoded inputs to raw outputs, through plain layers: masked here, once."""
    layers = []
    for layer in [*model.hidden, model.output]:
        linear = nn.Linear(layer.in_features, layer.out_features)
        linear.weight.data, linear.bias.data = layer.masked_weight().data, layer.bias.data
        layers.append(linear)
    plain_layers = stack(layers).eval()
    return plain_layers if model.direct is None else WithDirect(plain_layers, model.direct).eval()


def bare_loop(model, n, passes):
    """Unmasked passes over n rows of zeros: what every sampler of so many passes does, without the drawing."""
    once, x = unmasked_pass(model), torch.zeros(n, model.hidden[0].in_features)

    @torch.inference_mode()
    def run():
        for _ in range(passes):
            once(x)

    return run


@torch.inference_mode()
def sample(network, order, u, given=None, start=0):
    """Draw binary rows variable by variable, one pass each; with ``given``, the first ``start`` of them are known."""
    x = torch.zeros(u.shape) if given is None else given.nan_to_num(0)
    for i in order[start:]:
        x[:, i] = (u[:, i] < torch.sigmoid(logits(network, x)[:, i])).float()
    return x


class EachUnitOnce:
    """An incremental sampler as one writes it by hand: D steps, no guesses, every unit computed once, when it is due.

    What need not be done anew for every sample is done here: masking, sorting units by degree, cutting out the weights
    of every step. For binary variables.
    """

    @torch.no_grad()
    def __init__(self, model):
        network = made.sampling.sorted_by_degree(model)
        weights = [(w * m).T.contiguous() for w, m in zip(network.weights, network.masks, strict=True)]
        n_layers = len(network.biases)
        (*self.hidden, last), direct = weights[:n_layers], weights[n_layers:]
        *self.biases, bias = network.biases
        self.order, self.ready = model.connectivity.order.tolist(), network.ready
        known = network.ready[-2]  # units of the last hidden layer that an output may use
        self.outputs = [
            (known[t], last[: known[t], [t]], bias[[t]], [w[:t, [t]] for w in direct]) for t in range(len(self.order))
        ]
        self.due = [self.units(t, t + 1) for t in range(len(self.order))]

    def units(self, start, stop):
        """For every hidden layer: how many units below are known, the units that become known, and their weights."""
        found = []
        for layer, (weight, bias) in enumerate(zip(self.hidden, self.biases, strict=True)):
            seen, new = self.ready[layer][stop], slice(self.ready[layer + 1][start], self.ready[layer + 1][stop])
            found.append((seen, new, weight[:seen, new], bias[new]))
        return found

    @torch.inference_mode()
    def __call__(self, u, given=None, start=0):
        """Rows from uniforms. With ``given``, the first ``start`` variables of the order are known."""
        u, state = u[:, self.order], [torch.zeros(len(u), len(w)) for w in self.hidden]
        state.append(torch.zeros(len(u), self.ready[-2][-1]))
        if start:
            state[0][:, :start] = given[:, self.order[:start]]
            self.compute(state, self.units(0, start))
        for t in range(start, len(self.order)):
            known, weight, bias, direct = self.outputs[t]
            logit = torch.addmm(bias, state[-1][:, :known], weight)
            for w in direct:
                logit.addmm_(state[0][:, :t], w)
            state[0][:, t : t + 1] = u[:, t : t + 1] < logit.sigmoid_()
            self.compute(state, self.due[t])
        drawn = torch.empty_like(state[0])
        drawn[:, self.order] = state[0]
        return drawn

    @staticmethod
    def compute(state, due):
        for layer, (seen, new, weight, bias) in enumerate(due):
            if new.stop > new.start:
                state[layer + 1][:, new] = torch.addmm(bias, state[layer][:, :seen], weight).relu_()


def versions():
    """Versions of the packages that are installed."""
    found = {"made": made.__version__, "torch": torch.__version__}
    for name, package in PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
