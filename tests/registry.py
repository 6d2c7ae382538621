"""One registry of model configurations. A new feature joins the tests by adding a configuration here."""

import torch

import made

CYCLE_7 = torch.tensor([3, 5, 0, 6, 1, 4, 2])
CYCLE_8 = torch.tensor([5, 2, 7, 0, 6, 3, 1, 4])
bernoulli, categorical, gaussian = made.Bernoulli(), made.Categorical(3), made.Gaussian()
logistic, mixture = made.DiscretizedLogistic(3, components=2), made.MixtureOfGaussians(2)
finite_columns = [categorical, bernoulli, made.DiscretizedLogistic(4, components=1), bernoulli, logistic, categorical]
real_columns = [bernoulli, gaussian, mixture, categorical, gaussian, bernoulli, mixture]

CONFIGS = {
    # one and two variables
    "D1": dict(n_features=1, hidden=(4,)),
    "D1-no-hidden-no-direct": dict(n_features=1, hidden=(), direct=False),
    "D1-categorical-deep": dict(n_features=1, hidden=(3, 2), likelihood=categorical, degrees="random"),
    "D1-gaussian": dict(n_features=1, hidden=(3,), likelihood=gaussian),
    "D2": dict(n_features=2, hidden=(1,)),
    "D2-swapped-no-direct": dict(n_features=2, hidden=(3, 3), order=torch.tensor([1, 0]), direct=False),
    "D2-gaussian": dict(n_features=2, hidden=(4,), likelihood=gaussian, direct=False, activation="tanh"),
    # three variables: the smallest order that differs from its inverse
    "D3-cycle": dict(n_features=3, hidden=(5,), order=torch.tensor([2, 0, 1])),
    "D3-cycle-linear": dict(n_features=3, hidden=(), order=torch.tensor([1, 2, 0])),
    "D3-cycle-categorical": dict(n_features=3, hidden=(6, 4), order=torch.tensor([1, 2, 0]), likelihood=categorical),
    "D3-cycle-gaussian": dict(n_features=3, hidden=(6,), order=torch.tensor([2, 0, 1]), likelihood=gaussian),
    "D3-no-direct-deep": dict(n_features=3, hidden=(2, 5, 3), order=torch.tensor([2, 0, 1]), direct=False),
    # seven and eight variables: hidden layers narrower than, as wide as, and wider than the data
    "D7-narrow": dict(n_features=7, hidden=(3,), direct=False),
    "D7-narrow-direct": dict(n_features=7, hidden=(2,), order=CYCLE_7),
    "D7-as-wide": dict(n_features=7, hidden=(7,), order=CYCLE_7, direct=False, activation="tanh"),
    "D7-wide-deep": dict(n_features=7, hidden=(20, 15, 10), order=CYCLE_7, direct=False),
    "D7-bottleneck": dict(n_features=7, hidden=(12, 3, 12), order=CYCLE_7, direct=False),
    "D7-random-degrees": dict(n_features=7, hidden=(10, 10), order=CYCLE_7, degrees="random", direct=False, seed=3),
    "D7-categorical": dict(n_features=7, hidden=(16,), order=CYCLE_7, likelihood=categorical),
    "D7-categorical-no-direct": dict(n_features=7, hidden=(5, 9), order="random", likelihood=categorical, direct=False),
    "D7-gaussian": dict(n_features=7, hidden=(14, 14), order=CYCLE_7, likelihood=gaussian),
    "D7-gaussian-narrow": dict(n_features=7, hidden=(4,), order="random", likelihood=gaussian, direct=False, seed=5),
    "D8": dict(n_features=8, hidden=(16,)),
    "D8-linear": dict(n_features=8, hidden=(), order=CYCLE_8),
    "D8-as-wide-deep": dict(n_features=8, hidden=(8, 8), order=CYCLE_8, activation="tanh"),
    "D8-dropout": dict(n_features=8, hidden=(16, 16), order=CYCLE_8, dropout=0.5),
    "D8-several-orders": dict(n_features=8, hidden=(12,), order="random", n_masks=3, direct=False, seed=1),
    "D8-several-degrees": dict(n_features=8, hidden=(9, 9), order=CYCLE_8, degrees="random", n_masks=3, dropout=0.2),
    "D8-several-gaussian": dict(n_features=8, hidden=(10,), order="random", n_masks=3, likelihood=gaussian, seed=2),
    "D8-several-categorical": dict(
        n_features=8, hidden=(10, 6), order="random", degrees="random", n_masks=3, likelihood=categorical
    ),
    # contexts
    "D1-context": dict(n_features=1, hidden=(4,), context_features=2),
    "D1-context-gaussian": dict(n_features=1, hidden=(3, 3), likelihood=gaussian, direct=False, context_features=1),
    "D2-context-one-unit": dict(n_features=2, hidden=(1,), direct=False, context_features=2, activation="tanh"),
    "D3-cycle-context": dict(n_features=3, hidden=(5,), order=torch.tensor([2, 0, 1]), context_features=2),
    "D3-cycle-context-linear": dict(n_features=3, hidden=(), order=torch.tensor([1, 2, 0]), context_features=3),
    "D3-context-linear-no-direct": dict(
        n_features=3, hidden=(), order=torch.tensor([2, 0, 1]), direct=False, likelihood=categorical, context_features=2
    ),
    "D7-context-no-direct": dict(n_features=7, hidden=(9, 6), order=CYCLE_7, direct=False, context_features=2),
    "D7-context-random-degrees": dict(
        n_features=7, hidden=(9, 12), order=CYCLE_7, degrees="random", direct=False, context_features=1, seed=2
    ),
    "D7-context-several": dict(n_features=7, hidden=(8,), order="random", n_masks=2, context_features=2, seed=4),
    # residual layers
    "D3-cycle-context-residual": dict(
        n_features=3, hidden=(6, 6), order=torch.tensor([2, 0, 1]), direct=False, residual=True, context_features=2
    ),
    "D7-residual-as-wide": dict(n_features=7, hidden=(7, 7, 7), order=CYCLE_7, residual=True, direct=False),
    "D7-residual-random-degrees": dict(
        n_features=7, hidden=(9, 9), order=CYCLE_7, degrees="random", residual=True, direct=False, activation="tanh"
    ),
    "D8-residual-dropout": dict(n_features=8, hidden=(10, 10), order=CYCLE_8, residual=True, dropout=0.4),
    "D8-input-dropout": dict(n_features=8, hidden=(10,), order=CYCLE_8, dropout=0.2, input_dropout=0.4),
    "D3-input-dropout-columns": dict(
        n_features=3,
        hidden=(6,),
        order=torch.tensor([2, 0, 1]),
        likelihood=made.Columns(finite_columns[1:4]),
        input_dropout=0.5,
        context_features=1,
    ),
    # companion weights, masks without end
    "D8-companions": dict(n_features=8, hidden=(12,), order=CYCLE_8, mask_conditioning=True, activation="tanh"),
    "D8-companions-several": dict(n_features=8, hidden=(9,), order="random", n_masks=3, mask_conditioning=True, seed=1),
    "D8-companions-no-direct": dict(
        n_features=8, hidden=(9, 7), order=CYCLE_8, degrees="random", n_masks=3, direct=False, mask_conditioning=True
    ),
    "D8-fresh": dict(n_features=8, hidden=(12,), order="random", degrees="random", n_masks=None, seed=6),
    # further likelihoods
    "D1-mixture": dict(n_features=1, hidden=(3,), likelihood=made.MixtureOfGaussians(1)),
    "D2-mixture": dict(
        n_features=2, hidden=(4,), order=torch.tensor([1, 0]), likelihood=made.MixtureOfGaussians(3), direct=False
    ),
    "D3-cycle-mixture": dict(n_features=3, hidden=(5,), order=torch.tensor([2, 0, 1]), likelihood=mixture),
    "D3-cycle-logistic": dict(
        n_features=3, hidden=(6,), order=torch.tensor([1, 2, 0]), likelihood=made.DiscretizedLogistic(3, components=1)
    ),
    "D7-logistic": dict(n_features=7, hidden=(12,), order=CYCLE_7, likelihood=logistic, direct=False),
    "D3-cycle-columns": dict(
        n_features=3, hidden=(6,), order=torch.tensor([2, 0, 1]), likelihood=made.Columns(finite_columns[1:4])
    ),
    "D7-columns": dict(
        n_features=7, hidden=(11,), order=CYCLE_7, likelihood=made.Columns([bernoulli, *finite_columns]), direct=False
    ),
    "D2-columns-real": dict(
        n_features=2, hidden=(3,), order=torch.tensor([1, 0]), likelihood=made.Columns([bernoulli, gaussian])
    ),
    "D3-cycle-columns-real": dict(
        n_features=3,
        hidden=(6,),
        order=torch.tensor([2, 0, 1]),
        likelihood=made.Columns([mixture, categorical, gaussian]),
        context_features=1,
    ),
    "D7-columns-real": dict(n_features=7, hidden=(9, 9), order=CYCLE_7, likelihood=made.Columns(real_columns)),
    # several at once
    "D8-everything": dict(
        n_features=8,
        hidden=(11, 11),
        likelihood=made.Columns([*finite_columns, bernoulli, bernoulli]),
        order="random",
        degrees="random",
        n_masks=3,
        residual=True,
        context_features=2,
        dropout=0.3,
        mask_conditioning=True,
        seed=3,
    ),
    "D7-everything-real": dict(
        n_features=7,
        hidden=(9, 9, 9),
        likelihood=made.Columns(real_columns),
        order="random",
        n_masks=None,
        direct=False,
        residual=True,
        context_features=2,
        dropout=0.3,
        mask_conditioning=True,
        seed=8,
    ),
}
FINITE = [name for name, config in CONFIGS.items() if config.get("likelihood", bernoulli).n_states]
REAL = [name for name in CONFIGS if name not in FINITE]
GAUSSIAN = [name for name in REAL if CONFIGS[name]["likelihood"] is gaussian]
CONTEXT = [name for name, config in CONFIGS.items() if "context_features" in config]
SEVERAL = [name for name, config in CONFIGS.items() if config.get("n_masks", 1) != 1]


def build(name, dtype=torch.float64, seed=None):
    """The model of a configuration in evaluation mode, conditionals far from uniform."""
    config = CONFIGS[name] if seed is None else CONFIGS[name] | {"seed": seed}
    return sharpen(made.MADE(**config).to(dtype)).eval()


def sharpen(model):
    """Scale the parameters up, so that a mistake moves probabilities visibly; those of a real variable down, since
    log-scales that grow with the values before them soon overflow."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.6 if model.likelihood.n_states is None else 2.5)
    return model


def rows(model, n, seed=0):
    """Random rows in the support of a model, of its dtype."""
    g, x = torch.Generator().manual_seed(seed), torch.zeros(n, model.n_features)
    for i in range(model.n_features):
        n_states = model.likelihood.select([i]).n_states
        x[:, i] = torch.randint(n_states, (n,), generator=g) if n_states else torch.randn(n, generator=g)
    return x.to(model.output.weight.dtype)


def contexts(model, n, seed=0):
    """Random contexts for n rows, of the model's dtype; None for a model without."""
    if not model.context_features:
        return None
    return torch.randn(n, model.context_features, generator=seeded(seed)).to(model.output.weight.dtype)


def column(model, i):
    """The likelihood of variable i."""
    return model.likelihood.columns[i] if isinstance(model.likelihood, made.Columns) else model.likelihood


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def every_connectivity(model):
    """Use the model's connectivities one after the other."""
    for k in range(len(model.connectivities)):
        model.use(k)
        yield k


def allowed(order):
    """Who may see whom, written out: [i][j] is True where j comes strictly before i."""
    place = {variable: step for step, variable in enumerate(order.tolist())}
    return torch.tensor([[place[j] < place[i] for j in range(len(place))] for i in range(len(place))])


def reachable_by_paths(degrees):
    """Who can see whom through the layers, found by walking from every input unit to every output unit."""
    layers = [layer.tolist() for layer in degrees]
    n = len(layers[0])
    reach = torch.zeros(n, n, dtype=torch.bool)
    for j, start in enumerate(layers[0]):
        units = {start}  # degrees of the units that input j has reached in the layer before; every unit of a degree
        for layer in layers[1:]:  # sees the same, so a set of degrees is enough
            units = {m for m in layer if any(m >= before for before in units)}
        for i, end in enumerate(layers[0]):
            reach[i, j] = any(end > m for m in units)
    return reach
