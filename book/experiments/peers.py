"""What the six tests of ``made.diagnostics.report`` find in public packages.

    python book/experiments/peers.py          half a minute, on one core
    python book/experiments/peers.py --toy    fewer models, into a temporary folder: only proves that it runs

Models of zuko, nflows, normflows and pyro as they are when they are made: nothing is trained. Each gets an order that
is not its own inverse, where the package allows one, and is asked once without and once with a context. Networks say
logits of binary variables; flows have a density of real ones, and a sampler. The source whose entropy is known are fair
coins, or standard normal numbers: no distribution costs less on them. A row of the result holds what one test found.
"""

import math
import time
from collections.abc import Callable, Iterator
from importlib import metadata

import run
import torch
from torch import Tensor

import made

EXPECTED = "half a minute"
CONFIG = {
    "binary_order": [1, 2, 0, 4, 3],
    "real_order": [1, 2, 0],
    "binary_units": 64,
    "real_units": 16,
    "context_features": 2,
    "rows": 2000,
    "models": "all",
    "seed": 0,
}
TOY = {**CONFIG, "models": "networks"}
PACKAGES = ("zuko", "nflows", "normflows", "pyro-ppl")
NORMAL = 0.5 * math.log(2 * math.pi * math.e)  # entropy of a standard normal number, in nats
Model = dict  # the arguments of made.diagnostics.report


def by_variable(parameters: Tensor, order: list[int]) -> Tensor:
    """Parameters of steps as those of variables: (B, D, ...)."""
    return parameters[:, torch.tensor(order).argsort()]


# zuko. Its ``order`` says at which step a variable comes: the inverse of ours.


def zuko_network(config: dict, context: Tensor | None) -> Model:
    from zuko.nn import MaskedMLP

    order, C = config["binary_order"], 0 if context is None else context.shape[-1]
    step = torch.tensor(order).argsort()
    adjacency = torch.cat([step[:, None] > step, torch.ones(len(order), C, dtype=torch.bool)], 1)
    network = MaskedMLP(adjacency, [config["binary_units"]] * 2)
    return {"order": order, "outputs": lambda *given: network(torch.cat(given, 1))}


def zuko_flow(config: dict, context: Tensor | None) -> Model:
    from zuko.distributions import DiagNormal
    from zuko.flows import Flow, MaskedAutoregressiveTransform, UnconditionalDistribution

    order, C = config["real_order"], 0 if context is None else context.shape[-1]
    D = len(order)
    hidden = {"hidden_features": [config["real_units"]] * 2}
    step = MaskedAutoregressiveTransform(D, C, order=torch.tensor(order).argsort(), **hidden)
    flow = Flow([step], UnconditionalDistribution(DiagNormal, torch.zeros(D), torch.ones(D), buffer=True))
    return {
        "order": order,
        "values": None,
        "outputs": lambda *given: step.hyper(torch.cat(given, 1)).unflatten(1, (D, -1)),
        "log_prob": lambda x: flow(context).log_prob(x),
        "sample": lambda n, generator: flow(context).sample((n,)),
    }


# nflows. MADE has the natural order; a permutation before it gives a flow another one.


def nflows_network(config: dict, context: Tensor | None) -> Model:
    from nflows.transforms.made import MADE

    D, C = len(config["binary_order"]), None if context is None else context.shape[-1]
    return {"order": list(range(D)), "outputs": MADE(D, config["binary_units"], context_features=C)}


def nflows_mixture(config: dict, context: Tensor | None) -> Model | None:
    from nflows.nn.nde import MixtureOfGaussiansMADE

    if context is None:
        return None  # its sampler needs one
    D = len(config["real_order"])
    network = MixtureOfGaussiansMADE(
        D, config["real_units"], context.shape[-1], num_mixture_components=2, custom_initialization=False
    )
    here = lambda n: context.expand(n, -1)
    return {
        "order": list(range(D)),
        "values": None,
        "outputs": lambda *given: network(*given).unflatten(1, (D, -1)),
        "log_prob": lambda x: network.log_prob(x, here(len(x))),
        "sample": lambda n, generator: network.sample(n, here(1))[0],
    }


def nflows_flow(config: dict, context: Tensor | None) -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, Permutation

    order = config["real_order"]
    D, C = len(order), None if context is None else context.shape[-1]
    step = MaskedAffineAutoregressiveTransform(D, config["real_units"], context_features=C)
    flow = Flow(CompositeTransform([Permutation(torch.tensor(order)), step]), StandardNormal([D]))
    here = lambda n: None if context is None else context.expand(n, -1)

    def outputs(x, *given):
        return by_variable(step.autoregressive_net(x[:, order], *given).unflatten(1, (D, -1)), order)

    def sample(n, generator):
        return flow.sample(n) if context is None else flow.sample(n, here(1))[0]

    return {
        "order": order,
        "values": None,
        "outputs": outputs,
        "log_prob": lambda x: flow.log_prob(x, here(len(x))),
        "sample": sample,
    }


# normflows. ``permute_mask`` draws an order, which the mask of the first layer tells.


def normflows_network(config: dict, context: Tensor | None) -> Model:
    from normflows.nets.made import MADE

    D, C = len(config["binary_order"]), None if context is None else context.shape[-1]
    network = MADE(D, config["binary_units"], context_features=C, permute_mask=True)
    order = (-network.initial_layer.mask.sum(0)).argsort(stable=True).tolist()
    return {"order": order, "outputs": network}


def normflows_flow(config: dict, context: Tensor | None) -> Model:
    import normflows

    D, C = len(config["real_order"]), None if context is None else context.shape[-1]
    step = normflows.flows.MaskedAffineAutoregressive(D, config["real_units"], context_features=C)
    flow = normflows.ConditionalNormalizingFlow(normflows.distributions.DiagGaussian(D, trainable=False), [step])
    here = lambda n: None if context is None else context.expand(n, -1)
    return {
        "order": list(range(D)),
        "values": None,
        "outputs": lambda x, *c: step.autoregressive_net(step.inverse(x, *c)[0], *c).unflatten(1, (D, -1)),
        "log_prob": lambda x: flow.log_prob(x, here(len(x))),
        "sample": lambda n, generator: flow.sample(n, here(n))[0],
    }


# pyro. Its ``permutation`` is an order as ours.


def pyro_network(config: dict, context: Tensor | None) -> Model:
    from pyro.nn import AutoRegressiveNN, ConditionalAutoRegressiveNN

    order, units = config["binary_order"], [config["binary_units"]] * 2
    options = {"param_dims": [1], "permutation": torch.tensor(order)}
    if context is None:
        return {"order": order, "outputs": AutoRegressiveNN(len(order), units, **options)}
    return {"order": order, "outputs": ConditionalAutoRegressiveNN(len(order), context.shape[-1], units, **options)}


def pyro_flow(config: dict, context: Tensor | None) -> Model:
    import pyro.distributions as dist
    from pyro.distributions.transforms import AffineAutoregressive, ConditionalAffineAutoregressive
    from pyro.nn import AutoRegressiveNN, ConditionalAutoRegressiveNN

    order, units = config["real_order"], [config["real_units"]] * 2
    D, options = len(order), {"permutation": torch.tensor(order)}
    if context is None:
        network = AutoRegressiveNN(D, units, **options)
        under = lambda *c: AffineAutoregressive(network)
    else:
        network = ConditionalAutoRegressiveNN(D, context.shape[-1], units, **options)
        under = lambda *c: ConditionalAffineAutoregressive(network).condition(c[0] if c else context)
    normal = dist.Normal(torch.zeros(D), torch.ones(D)).to_event(1)
    return {
        "order": order,
        "values": None,
        "outputs": lambda x, *c: torch.stack(network(under(*c).inv(x), *c), -1),
        "log_prob": lambda x: dist.TransformedDistribution(normal, [under()]).log_prob(x),
        "sample": lambda n, generator: dist.TransformedDistribution(normal, [under()]).sample((n,)),
    }


MODELS: dict[str, tuple[str, str, Callable]] = {
    "MaskedMLP": ("zuko", "networks", zuko_network),
    "MaskedAutoregressiveTransform": ("zuko", "flows", zuko_flow),
    "MADE": ("nflows", "networks", nflows_network),
    "MixtureOfGaussiansMADE": ("nflows", "flows", nflows_mixture),
    "MaskedAffineAutoregressiveTransform": ("nflows", "flows", nflows_flow),
    "MADE, permute_mask=True": ("normflows", "networks", normflows_network),
    "MaskedAffineAutoregressive": ("normflows", "flows", normflows_flow),
    "AutoRegressiveNN": ("pyro-ppl", "networks", pyro_network),
    "AffineAutoregressive": ("pyro-ppl", "flows", pyro_flow),
}


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def model_of(config: dict, build: Callable, heard: bool) -> Model | None:
    """A model as arguments of the report, made from the seed; None where the package has no such."""
    generator = torch.Generator().manual_seed(config["seed"])
    context = torch.randn(config["context_features"], generator=generator) if heard else None
    shape = config["rows"], len(config["binary_order"])
    coins = {"rows": torch.randint(2, shape, generator=generator).float(), "entropy": shape[1] * math.log(2)}
    shape = config["rows"], len(config["real_order"])
    normal = {"rows": torch.randn(shape, generator=generator), "entropy": shape[1] * NORMAL}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        found = build(config, context)
    if found is None:
        return None
    return {**found, "context": context, **(normal if "values" in found else coins)}


def rows(config: dict, package: str) -> Iterator[dict]:
    """What every test finds in the models of a package."""
    for name, (owner, kind, build) in MODELS.items():
        for heard in (False, True):
            if owner != package or config["models"] not in ("all", kind):
                continue
            model = model_of(config, build, heard)
            if model is None:
                continue
            found = made.diagnostics.report(**model, seed=config["seed"])
            fields = {"package": package, "version": installed(package), "model": name, "context": heard}
            for finding in found.findings:
                said = {"test": finding.name, "passed": finding.passed, "said": finding.said}
                yield {**fields, "order": model["order"], **said}


def main() -> None:
    chosen, folder = run.begin("peers", __doc__, EXPECTED)
    config, started, found = TOY if chosen.toy else CONFIG, time.time(), []
    for package in PACKAGES:
        if installed(package) is None and chosen.toy:
            print(f"{package} is not installed")
            continue
        found += rows(config, package)
    print(run.write("peers", config, started, folder, rows=found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
