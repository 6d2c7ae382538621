"""Mistakes that were found in public MADE code, put in one at a time: for each, the test that must turn red.

Every mistake is a function that takes pytest's ``monkeypatch`` and puts something wrong into the package. Its numbers
are those of one list; a mistake that the package has no place for, such as a test set that is called validation, is
left out. Beside it stands the test that a reader would expect to notice, called as pytest would call it: it must pass
without the mistake, and fail with it.
"""

import contextlib
import inspect
import sys
from functools import partial
from itertools import pairwise

import pytest
import test_ensemble
import test_invariants
import test_layers
import test_likelihoods
import test_loop
import test_masks
import test_model
import test_sampling
import torch
from torch.nn import functional as F

import made
from made import MADE, Connectivity, Mixture, layers, likelihoods, masks, model, sampling

MISTAKES = []


def mistake(number, test, *arguments, error=AssertionError):
    """Add a mistake to the list, with the test that must notice it and how."""

    def add(function):
        case = (function, partial(test, *arguments), error)
        MISTAKES.append(pytest.param(*case, id=f"{number}-{function.__name__}"))
        return function

    return add


def replace(monkeypatch, original, wrong):
    """Put a wrong function wherever the package looks up the right one."""
    places = [
        (module, name)
        for module_name, module in list(sys.modules.items())
        if module_name.partition(".")[0] == "made"
        for name, value in list(vars(module).items())
        if value is original
    ]
    assert places
    for module, name in places:
        monkeypatch.setattr(module, name, wrong)


def wherever(name):
    """A function or class of the training code, whichever module it is in."""
    found = {id(vars(m)[name]): vars(m)[name] for key, m in list(sys.modules.items())
             if key.partition(".")[0] == "made" and name in vars(m)}  # fmt: skip
    assert len(found) == 1, f"{name} is in the package {len(found)} times"
    return next(iter(found.values()))


def run(test, tmp_path):
    """Call a test with what its fixtures would give it."""
    wanted = inspect.signature(test).parameters
    before = torch.get_rng_state()
    if "untouched_rng" in wanted:
        test = partial(test, untouched_rng=None)
    if "model_file" in wanted:
        test = partial(test, model_file=tmp_path / "model.safetensors")
    test()
    assert "untouched_rng" not in wanted or torch.equal(torch.get_rng_state(), before)


# 1. the one strict inequality


@mistake(1, test_invariants.test_probabilities_sum_to_one, "D3-cycle")
def output_mask_not_strict(monkeypatch):
    def build_masks(degrees):
        right = masks_of(degrees)
        return [*right[:-1], degrees[0][:, None] >= degrees[-1][None, :]]

    masks_of = masks.build_masks
    replace(monkeypatch, masks_of, build_masks)


@mistake(1, test_invariants.test_three_proofs_of_who_sees_whom_agree, "D7-as-wide")
def leak_off_the_diagonal(monkeypatch):
    """Units hear the variable that comes just after those they may hear, so that no output sees itself alone."""

    def build_masks(degrees):
        right = masks_of(degrees)
        wrong = [after[:, None] + 1 >= before[None, :] for before, after in pairwise(degrees)]
        return [*wrong, right[-1]]

    masks_of = masks.build_masks
    replace(monkeypatch, masks_of, build_masks)


# 2. to 4. degrees of hidden units


@mistake(2, test_masks.test_a_narrow_layer_sees_nearly_everything)
def degrees_one_after_the_other(monkeypatch):
    def even_degrees(n_features, hidden, context=False):
        return [torch.arange(width) % max(1, n_features - 1) + 1 for width in hidden]

    replace(monkeypatch, masks.even_degrees, even_degrees)


def wrong_random_degrees(monkeypatch, draw):
    """Random degrees of which each layer is drawn by a function of sizes, the degrees before, and the generator."""

    def random_degrees(n_features, hidden, generator, context=False):
        degrees = []
        for width in hidden:
            degrees.append(draw(n_features, width, degrees, generator))
        return degrees

    replace(monkeypatch, masks.random_degrees, random_degrees)
    monkeypatch.setattr(test_masks, "random_degrees", random_degrees)


@mistake(3, test_masks.test_random_degrees_of_a_narrow_layer_range_over_the_variables_not_its_units)
def degrees_range_over_the_units(monkeypatch):
    draw = lambda n, width, before, g: torch.randint(1, min(width, n - 1) + 1, (width,), generator=g)
    wrong_random_degrees(monkeypatch, draw)


@mistake(3, test_masks.test_random_degrees_take_every_allowed_value_equally_often)
def units_without_a_path_in(monkeypatch):
    draw = lambda n, width, before, g: torch.randint(0, n, (width,), generator=g)
    wrong_random_degrees(monkeypatch, draw)


@mistake(3, test_masks.test_random_degrees_take_every_allowed_value_equally_often)
def units_without_a_path_out(monkeypatch):
    draw = lambda n, width, before, g: torch.randint(1, n + 1, (width,), generator=g)
    wrong_random_degrees(monkeypatch, draw)


@mistake(4, test_masks.test_random_degrees_start_at_the_smallest_of_the_layer_just_before)
def smallest_degree_of_two_layers_back(monkeypatch):
    def draw(n, width, before, generator):
        low = int(before[-2].min()) if len(before) > 1 else min(1, n - 1)
        return torch.randint(low, n, (width,), generator=generator)

    wrong_random_degrees(monkeypatch, draw)


# 5. and 6. masks that come and go


@mistake(5, test_layers.test_masks_can_be_exchanged_and_come_back)
def weights_masked_in_place(monkeypatch):
    def forward(self, x):
        with torch.no_grad():
            self.weight *= self.mask
        return F.linear(x, self.weight, self.bias)

    monkeypatch.setattr(layers.MaskedLinear, "forward", forward)


@mistake(6, test_model.test_a_forward_pass_never_changes_the_connectivity)
def new_mask_in_every_forward_pass(monkeypatch):
    right = MADE.forward

    def forward(self, x, context=None):
        self.use((self.connectivities.index(self.connectivity) + 1) % len(self.connectivities))
        return right(self, x, context)

    monkeypatch.setattr(MADE, "forward", forward)


# 7. contexts


@mistake(7, test_invariants.test_a_context_reaches_every_conditional, "D7-context-no-direct")
def first_variable_does_not_hear_the_context(monkeypatch):
    right = masks.even_degrees
    replace(monkeypatch, right, lambda n_features, hidden, context=False: right(n_features, hidden))


def wrong_input_masks(monkeypatch, change):
    """Models whose masks of the first layers are changed: a function of the mask and of the number C of contexts."""
    right = MADE.use

    def use(self, connectivity):
        right(self, connectivity)
        for layer in [(*self.hidden, self.output)[0], self.direct]:
            if layer is not None:
                layer.set_mask(change(layer.mask.bool(), self.context_features))

    monkeypatch.setattr(MADE, "use", use)


@mistake(7, test_invariants.test_a_context_reaches_every_conditional, "D3-cycle-context")
def context_masked_out(monkeypatch):
    wrong_input_masks(monkeypatch, lambda mask, C: F.pad(mask[:, C:], (C, 0)))


@mistake(7, test_invariants.test_three_proofs_of_who_sees_whom_agree, "D3-cycle-context")
def context_columns_at_the_wrong_end(monkeypatch):
    wrong_input_masks(monkeypatch, lambda mask, C: mask.roll(-C, 1))


# 8. the order where its inverse is needed


@mistake(8, test_masks.test_degrees_of_an_order_that_is_not_its_own_inverse)
def order_for_degrees(monkeypatch):
    wrong = lambda order: torch.as_tensor(order) + 1
    replace(monkeypatch, masks.degrees_from_order, wrong)
    monkeypatch.setattr(test_masks, "degrees_from_order", wrong)


@mistake(8, test_invariants.test_three_proofs_of_who_sees_whom_agree, "D3-cycle")
def order_for_degrees_everywhere(monkeypatch):
    """Masks, connectivities and proofs agree on the wrong numbers; the model has another order than it says."""
    replace(monkeypatch, masks.degrees_from_order, lambda order: torch.as_tensor(order) + 1)


@mistake(8, test_sampling.test_the_uniform_of_a_variable_decides_that_variable, "incremental")
def samples_put_back_by_the_inverse(monkeypatch):
    right = sampling.sample_incremental

    def sample_incremental(model, *arguments):
        order = model.connectivity.order
        drawn = right(model, *arguments)[:, order]  # in the order of generation
        return drawn[:, order]

    replace(monkeypatch, right, sample_incremental)


@mistake(8, test_sampling.test_the_uniform_of_a_variable_decides_that_variable, "naive")
def variables_drawn_in_the_inverse_order(monkeypatch):
    def sample_naive(model, u, given, temperature=1.0, context=None):
        x = torch.zeros_like(given)
        for i in model.connectivity.order.argsort().tolist():
            x[:, i] = model.likelihood.sample(model(x), u)[:, i]
        return x

    replace(monkeypatch, sampling.sample_naive, sample_naive)


# 9. ensembles


def wrong_mixture(monkeypatch, average):
    """Mixtures that average something else: a function of raw outputs under every connectivity, and of the rows."""

    def log_prob(self, x, context=None):
        before, outputs = self.model.connectivity, []
        for connectivity in self.connectivities:
            self.model.use(connectivity)
            outputs.append(self.model(x, context))
        self.model.use(before)
        return average(torch.stack(outputs), x)

    monkeypatch.setattr(Mixture, "log_prob", log_prob)


bernoulli = made.Bernoulli()
mixture_sums = (test_invariants.test_a_mixture_of_connectivities_sums_to_one, "D8-several-orders")


@mistake(9, *mixture_sums)
def raw_outputs_averaged(monkeypatch):
    wrong_mixture(monkeypatch, lambda outputs, x: bernoulli.log_prob(outputs.mean(0), x))


@mistake(9, *mixture_sums)
def probabilities_of_single_variables_averaged(monkeypatch):
    wrong_mixture(monkeypatch, lambda outputs, x: bernoulli.log_prob(outputs.sigmoid().mean(0).logit(), x))


@mistake(9, *mixture_sums)
def log_probabilities_averaged(monkeypatch):
    wrong_mixture(monkeypatch, lambda outputs, x: torch.stack([bernoulli.log_prob(o, x) for o in outputs]).mean(0))


@mistake(9, test_ensemble.test_mixture_samples_match_exact_probabilities, "bernoulli", "incremental")
def likeliest_connectivity_instead_of_a_draw(monkeypatch):
    likeliest = lambda chances, n, generator=None: chances.argmax(1, keepdim=True)
    monkeypatch.setattr(torch, "multinomial", likeliest)


@mistake(9, test_ensemble.test_known_values_choose_among_connectivities_by_their_posterior, [0.0, 1.0])
def what_is_known_does_not_choose(monkeypatch):
    replace(monkeypatch, made.ensemble.prefix_log_prob, lambda model, x, context=None: x.new_zeros(len(x)))


@mistake(9, test_ensemble.test_a_question_under_another_connectivity_leaves_the_model_as_it_is)
def masks_shared_with_the_view(monkeypatch):
    """The model is asked under another connectivity by switching it, and nothing switches it back."""

    def under(self, connectivity):
        self.use(connectivity)
        return self

    monkeypatch.setattr(MADE, "under", under)


# 10. files


@mistake(10, test_invariants.test_a_state_dict_carries_everything, "D8-several-orders")
def connectivities_not_restored(monkeypatch):
    monkeypatch.setattr(MADE, "set_extra_state", lambda self, state: None)


@mistake(10, test_model.test_a_file_holds_the_choice_of_connectivity_even_a_foreign_one)
def choice_of_connectivity_not_restored(monkeypatch):
    right = MADE.set_extra_state

    def set_extra_state(self, state):
        right(self, state)
        self.use(0)

    monkeypatch.setattr(MADE, "set_extra_state", set_extra_state)


@mistake(10, test_model.test_a_file_keeps_connectivities_that_no_seed_would_give)
def connectivities_drawn_again(monkeypatch):
    right = MADE.set_extra_state

    def set_extra_state(self, state):
        right(self, state)
        self.connectivities = [self.draw(k) for k in range(len(self.connectivities))]

    monkeypatch.setattr(MADE, "set_extra_state", set_extra_state)


@mistake(10, test_masks.test_reordering_moves_variables_and_leaves_hidden_units)
def hidden_degrees_drawn_again(monkeypatch):
    """What was trained belongs to its hidden degrees, whatever the order in which the variables come."""
    reordered = lambda self, order: Connectivity.create(self.n_features, self.hidden, order)
    monkeypatch.setattr(Connectivity, "reordered", reordered)


# 11. one variable


@mistake(11, test_invariants.test_probabilities_sum_to_one, "D1", error=ValueError)
def degrees_from_one_even_for_one_variable(monkeypatch):
    right = masks.even_degrees

    def even_degrees(n_features, hidden, context=False):
        return right(max(n_features, 2), hidden, context)

    replace(monkeypatch, right, even_degrees)


# 12. activations and residual layers


@mistake(12, test_model.test_every_activation_is_applied, "relu")
def no_activation_between_two_layers(monkeypatch):
    monkeypatch.setitem(model.ACTIVATIONS, "relu", lambda h: h)


@mistake(12, test_invariants.test_three_proofs_of_who_sees_whom_agree, "D7-residual-random-degrees")
def residual_layers_of_unequal_degrees(monkeypatch):
    """A unit is added to a unit of the layer before that has seen more than it may."""
    right = MADE.use

    def use(self, connectivity):
        right(self, connectivity)
        self.connectivity = Connectivity.create(7, (9, 9), self.connectivity.order, "random", seed=1)
        for layer, mask in zip([*self.hidden, self.output], self.connectivity.masks(), strict=True):
            layer.set_mask(mask)

    monkeypatch.setattr(MADE, "use", use)


# 13. parameters


@mistake(13, test_invariants.test_probabilities_sum_to_one, "D3-cycle-categorical")
def parameters_chunked(monkeypatch):
    """All first parameters, then all second ones, while the masks expect those of a variable side by side."""
    right = MADE.network

    def network(self, inputs):
        out = right(self, inputs)
        return out.flatten(-2).unflatten(-1, out.shape[:-3:-1]).transpose(-1, -2)

    monkeypatch.setattr(MADE, "network", network)


@mistake(13, test_invariants.test_probabilities_sum_to_one, "D3-cycle-categorical")
def output_masks_chunked(monkeypatch):
    right = MADE.use

    def use(self, connectivity):
        right(self, connectivity)
        for layer in (self.output, self.direct):
            mask = layer.mask.unflatten(0, (self.n_features, -1)).transpose(0, 1).flatten(0, 1)
            layer.set_mask(mask)

    monkeypatch.setattr(MADE, "use", use)


@mistake(13, test_invariants.test_three_proofs_of_who_sees_whom_agree, "D3-cycle-categorical")
def input_masks_chunked(monkeypatch):
    k = 3
    wrong_input_masks(monkeypatch, lambda mask, C: mask.unflatten(1, (-1, k)).transpose(1, 2).flatten(1))


@mistake(13, test_likelihoods.test_log_prob_is_scipys_summed_over_variables, made.MixtureOfGaussians(3))
def parameters_of_components_interleaved(monkeypatch):
    right = made.MixtureOfGaussians.components

    def components(self, params):
        return right(self, params.unflatten(-1, (self.k, 3)).transpose(-1, -2).flatten(-2))

    monkeypatch.setattr(made.MixtureOfGaussians, "components", components)


@mistake(13, test_likelihoods.test_extreme_logits_stay_finite_and_exact, torch.float32)
def log_of_a_rounded_probability(monkeypatch):
    def log_conditionals(self, params, x):
        p = torch.sigmoid(params.squeeze(-1))
        return x * torch.log(p + 1e-8) + (1 - x) * torch.log(1 - p + 1e-8)

    monkeypatch.setattr(likelihoods.Bernoulli, "log_conditionals", log_conditionals)


@mistake(13, test_invariants.test_gaussian_log_prob_is_a_sum_of_normal_log_densities, "D3-cycle-gaussian")
def exp_for_softplus(monkeypatch):
    monkeypatch.setattr(likelihoods.Scaled, "scale", lambda self, raw: self.min_scale + raw.exp())


# 14. normalisation


@mistake(14, test_invariants.test_a_row_does_not_depend_on_its_batch, "D8")
def batch_norm(monkeypatch):
    norm = lambda h: torch.relu(h if h.dim() < 2 else (h - h.mean(0)) / (1 + h.std(0, correction=0)))
    monkeypatch.setitem(model.ACTIVATIONS, "relu", norm)


@mistake(14, test_invariants.test_probabilities_sum_to_one, "D3-no-direct-deep")
def layer_norm(monkeypatch):
    monkeypatch.setitem(model.ACTIVATIONS, "relu", lambda h: F.layer_norm(torch.relu(h), h.shape[-1:]))


# 15. evaluation


@mistake(15, test_invariants.test_evaluation_is_deterministic_and_leaves_no_trace, "D8-several-orders")
def evaluation_goes_on_to_another_mask(monkeypatch):
    right = made.nll

    def nll(model, *arguments, **options):
        model.use(1)
        return right(model, *arguments, **options)

    replace(monkeypatch, right, nll)


@mistake(15, test_loop.test_validation_does_not_disturb_training)
def validation_draws_random_numbers(monkeypatch):
    right = wherever("mean_loss")

    def mean_loss(*arguments):
        torch.rand(1)
        return right(*arguments)

    replace(monkeypatch, right, mean_loss)


@mistake(15, test_loop.test_every_row_is_used_once_per_epoch_the_last_small_batch_included)
def last_small_batch_dropped(monkeypatch):
    batches = wherever("Batches")
    right = batches.after
    after = lambda self, skip: (batch for batch in right(self, skip) if len(batch[0]) == self.batch_size)
    monkeypatch.setattr(batches, "after", after)


@mistake(15, test_loop.test_validation_decides_on_validation_rows_in_evaluation_mode)
def early_stopping_on_training_rows(monkeypatch):
    batches, train = wherever("Batches"), []
    right = batches.__init__

    def __init__(self, name, data, *arguments, **options):
        train.append(data)
        right(self, name, train[0], *arguments, **options)

    monkeypatch.setattr(batches, "__init__", __init__)


@mistake(15, test_loop.test_connectivities_take_turns_in_training_and_number_0_is_evaluated)
def masks_never_take_turns(monkeypatch):
    monkeypatch.setattr(MADE, "connectivity_for", lambda self, step: self.connectivities[0])


@mistake(15, test_loop.test_rows_and_contexts_stay_together)
def contexts_of_other_rows(monkeypatch):
    batches = wherever("Batches")
    right = batches.on_device

    def on_device(self, batch):
        rows, *context = right(self, batch)
        return rows, *(c.flip(0) for c in context)

    monkeypatch.setattr(batches, "on_device", on_device)


# 16. to 18. dropout, precision, random numbers


@mistake(16, test_invariants.test_evaluation_is_deterministic_and_leaves_no_trace, "D8-dropout")
def dropout_in_evaluation(monkeypatch):
    replace(monkeypatch, layers.evaluation_view, lambda module: module)


@mistake(17, test_invariants.test_float32_and_float64_agree, "D3-cycle", error=TypeError)
def samples_in_single_precision(monkeypatch):
    right = sampling.sample_naive
    replace(monkeypatch, right, lambda model, u, given, *rest: right(model, u, given.float(), *rest))


@mistake(18, test_invariants.test_the_global_generator_stays_untouched, "D3-cycle")
def constructor_seeds_the_global_generator(monkeypatch):
    right = MADE.__init__

    def __init__(self, *arguments, seed=0, **options):
        torch.manual_seed(seed)
        right(self, *arguments, seed=seed, **options)

    monkeypatch.setattr(MADE, "__init__", __init__)


@mistake(18, test_invariants.test_the_global_generator_stays_untouched, "D3-cycle-gaussian")
def training_seeds_the_global_generator(monkeypatch):
    monkeypatch.setattr(torch.random, "fork_rng", lambda **options: contextlib.nullcontext())


@mistake(18, test_layers.test_initial_weights_follow_the_generator_only, layers.MaskedLinear)
def weights_from_the_global_generator(monkeypatch):
    def reset_parameters(self):
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-1, 1)

    monkeypatch.setattr(layers.Linear, "reset_parameters", reset_parameters)


# all of them


def test_no_number_is_left_out():
    assert {int(case.id.partition("-")[0]) for case in MISTAKES} == set(range(1, 19))


@pytest.mark.parametrize(("put_in", "test", "error"), MISTAKES)
def test_the_mistake_is_noticed(put_in, test, error, monkeypatch, tmp_path):
    run(test, tmp_path)
    with torch.random.fork_rng():
        put_in(monkeypatch)
        with pytest.raises(error):
            run(test, tmp_path)
