"""made/formats.py: files of version 0.1.0, models and likelihoods of one's own."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import made
from made.formats import from_plain, to_plain

OLD = Path(__file__).parent / "data" / "format_1"
FACTS = json.loads((OLD / "log_probs.json").read_text())


@pytest.mark.parametrize("name", FACTS)
def test_what_version_0_1_0_wrote_scores_the_same(name, tmp_path):
    """Files and scores were written by version 0.1.0: exponential scales, columns as wide as the widest."""
    model, facts = made.MADE.load(OLD / f"{name}.safetensors").double(), FACTS[name]
    x = torch.tensor(facts["x"], dtype=torch.float64)
    context = None if facts["context"] is None else torch.tensor(facts["context"], dtype=torch.float64)
    # the companions of inputs that are gone are added to others: once more rounded to float32
    moved = isinstance(model.likelihood, made.Columns) and model.config.mask_conditioning
    expected = pytest.approx(facts["log_prob"], rel=1e-6 if moved else 1e-12, abs=1e-12)
    assert model.log_prob(x, context).tolist() == expected
    model.save(tmp_path / "new")  # and goes on as a file of today
    assert made.MADE.load(tmp_path / "new").log_prob(x, context).tolist() == expected


def test_the_old_files_are_of_all_kinds():
    models = [made.MADE.load(OLD / f"{name}.safetensors") for name in FACTS]
    kinds = {one for m in models for one in getattr(m.likelihood, "columns", [m.likelihood])}
    assert {type(one) for one in kinds} == set(made.likelihoods.LIKELIHOODS) - {made.Columns}
    assert any(isinstance(m.likelihood, made.Columns) and m.config.mask_conditioning for m in models)
    scaled = [one for one in kinds if hasattr(one, "min_scale")]
    assert scaled
    assert {one.scale_map for one in scaled} == {"exp"}


OWN = """
from dataclasses import dataclass
import torch
import made


@dataclass(frozen=True)
class Poisson(made.Likelihood):
    rate_factor: float = 1.0
    n_params = 1
    support = "a whole number, not negative"

    def distribution(self, params, validate_args=None):
        rate = self.rate_factor * torch.nn.functional.softplus(params.squeeze(-1)) + 1e-3
        return torch.distributions.Poisson(rate, validate_args=validate_args)

    def sample(self, params, u, temperature=1.0):
        rate, k = self.distribution(params).rate.double(), torch.arange(200.0)
        cumulative = torch.exp(k * rate.unsqueeze(-1).log() - rate.unsqueeze(-1) - torch.lgamma(k + 1)).cumsum(-1)
        return (u.unsqueeze(-1) >= cumulative).sum(-1).to(params.dtype)

    def outside_support(self, x):
        return ~((x >= 0) & (x == x.floor()) & x.isfinite())


class Counts(made.MADE):
    def __init__(self, columns, factor):
        super().__init__(columns, hidden=(8,), likelihood=Poisson(factor), seed=3)
        self.factor = factor
"""
namespace = {}
exec(OWN, namespace)
Poisson, Counts = namespace["Poisson"], namespace["Counts"]


@pytest.mark.processes
@pytest.mark.parametrize("shared", [True, False])
def test_a_likelihood_and_a_model_of_ones_own_from_end_to_end(shared, tmp_path):
    """As the documentation says: train, score, sample by both samplers, save, load, also in a fresh process."""
    x = torch.poisson(torch.tensor([[2.0, 5.0, 1.0]]).expand(300, 3), generator=torch.Generator().manual_seed(0))
    if shared:
        model = Counts(3, factor=2)
    else:
        model = made.MADE(3, (8,), likelihood=made.Columns([Poisson(2.0), made.Gaussian(), Poisson()]))
    before = made.nll(model, x).mean
    made.fit(model, x, epochs=60, lr=0.05, progress=False)
    assert made.nll(model, x).mean < before
    u = lambda: torch.Generator().manual_seed(5)
    drawn = model.sample(50, generator=u())
    assert torch.equal(drawn, model.sample(50, generator=u(), method="naive"))
    assert drawn.mean(0).tolist() == pytest.approx([2, 5, 1], abs=1.2)
    model.save(tmp_path / "counts")
    again = made.MADE.load(tmp_path / "counts")
    assert type(again) is type(model)
    assert again.likelihood == model.likelihood
    if shared:
        assert again.factor == 2
        assert type(Counts.load(tmp_path / "counts")) is Counts
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    code = OWN + f"print(made.MADE.load({str(tmp_path / 'counts')!r}).log_prob(torch.ones(1, 3)).item())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(model.log_prob(torch.ones(1, 3)).item(), rel=1e-6)
    code = f"import made; made.MADE.load({str(tmp_path / 'counts')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    missing = "no MADE named 'Counts'" if shared else "no Likelihood named 'Poisson'"
    assert missing in done.stderr
    assert "import the module that defines it" in done.stderr


def own(**options):
    """A class that lacks what ``options`` say, derived from Bernoulli's methods."""
    methods = {name: getattr(made.Bernoulli, name) for name in ("distribution", "sample", "outside_support")}
    return type("Own", (made.Likelihood,), {**methods, "n_params": 1, "n_states": 2, "support": "0 or 1", **options})


def test_a_likelihood_that_lacks_something_is_refused_with_what_it_lacks():
    frozen = dataclass(frozen=True)
    for cls, message in [
        (own(), "likelihood Own must be decorated with @dataclass"),
        (dataclass(own()), "likelihood Own must be decorated with @dataclass"),  # equal but not hashable
        (frozen(type("Own", (own(),), {"__annotations__": {"f": object}, "f": print})), "f must be a number, a text"),
    ]:
        for build in (lambda one: made.MADE(2, likelihood=one), lambda one: made.Autoencoder(2, likelihood=one)):
            with pytest.raises(TypeError, match=message):
                build(cls())
    for attribute in ("n_params", "support"):
        lacking = own()
        delattr(lacking, attribute)
        with pytest.raises(TypeError, match=f"likelihood Own must have the attribute '{attribute}'"):
            made.MADE(2, likelihood=frozen(lacking)())
    model = made.MADE(2, likelihood=frozen(own())())
    assert made.diagnostics.total_probability(model) == pytest.approx(1, abs=1e-6)


class Wrapped(made.MADE):
    """A subclass whose argument no file can hold."""

    def __init__(self, function):
        super().__init__(3)
        self.function = function


def test_an_argument_that_no_file_can_hold_is_named_when_the_model_is_saved(tmp_path):
    model = Wrapped(math.sin)
    assert model.sample(2, generator=torch.Generator().manual_seed(0)).shape == (2, 3)
    with pytest.raises(TypeError, match="Wrapped cannot be saved: argument must be a number, a text"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_arguments_are_written_down_and_read_again():
    given = [3, 2.5, None, "a", [1, [2]], {"likelihood": made.Columns([made.Gaussian(), made.Categorical(4)])}]
    assert from_plain(json.loads(json.dumps(to_plain(given)))) == given
    assert to_plain((1, torch.tensor([2, 0, 1]))) == [1, [2, 0, 1]]


def test_of_two_classes_of_one_name_the_newest_is_taken(tmp_path):
    """As when a cell of a notebook is run again."""

    def define(bonus):
        class Twice(made.MADE):
            def __init__(self, width):
                super().__init__(width + bonus)

        return Twice

    define(0)
    define(0)(3).save(tmp_path / "model")
    newest = define(0)
    assert type(made.MADE.load(tmp_path / "model")) is newest


@dataclass(frozen=True)
class Steps(made.Bernoulli):
    """A likelihood with an argument that files hold as a list."""

    cuts: tuple = (1.0, (2.0, 3.0))


def test_a_tuple_comes_back_as_one(tmp_path):
    model = made.MADE(2, likelihood=made.Columns([Steps(), made.Bernoulli()]))
    model.save(tmp_path / "model")
    assert made.MADE.load(tmp_path / "model").likelihood == model.likelihood


def test_a_placeholder_outside_the_support_is_refused():
    positive = own(outside_support=lambda self, x: ~(x > 0))
    with pytest.raises(TypeError, match=r"likelihood Own must have a placeholder in its support, got 0\.0"):
        made.MADE(2, likelihood=dataclass(frozen=True)(positive)())
    good = own(outside_support=lambda self, x: ~(x > 0), placeholder=1.0)
    made.MADE(2, likelihood=dataclass(frozen=True)(good)())
