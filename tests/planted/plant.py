"""Do the tests have teeth? Plant one mistake after the other into a copy of the package, and see a test go red.

Run by hand: ``python tests/planted/plant.py``, or with words to choose the mistakes whose name holds one of them.
The numbers 1 to 18 are mistakes found in public MADE code; "own" are further ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mistake(NamedTuple):
    """A name, a file of the package, the text to replace, what to put there, and the tests that ought to notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MASKS = "tests/test_masks.py tests/test_invariants.py"
INVARIANTS, MODEL, SAMPLING = "tests/test_invariants.py", "tests/test_model.py", "tests/test_sampling.py"
TRAINING, DATA, LIKELIHOODS = "tests/test_training.py", "tests/test_data.py", "tests/test_likelihoods.py"
LAYERS, AUTOENCODER = "tests/test_layers.py", "tests/test_autoencoder.py"
STRIPS, BATCHES, PARALLEL = "tests/test_strips.py", "tests/test_batches.py", "tests/test_parallel.py"
RESUME, CHECKPOINT = "tests/test_resume.py", "tests/test_checkpoint.py"
DIAGNOSTICS, ENSEMBLE = "tests/test_diagnostics.py", "tests/test_ensemble.py"
ADVANCE = "if len(getattr(model, 'connectivities', [])) > 1:\n        model.use(1)\n    "

MISTAKES = [
    Mistake("1 output mask >= (through the model)", "masks.py",
            "degrees[0][:, None] > degrees[-1][None, :]", "degrees[0][:, None] >= degrees[-1][None, :]", INVARIANTS),
    Mistake("1 a leak off the diagonal only", "masks.py",
            "after[:, None] >= before[None, :]", "after[:, None] + 1 >= before[None, :]", INVARIANTS),
    Mistake("2 degrees one after the other", "masks.py",
            "cuts[torch.arange(width) * distinct // width]", "torch.arange(width) % (n_features - 1) + 1", MASKS),
    Mistake("2 degrees not spread", "masks.py",
            "torch.arange(lowest, distinct + lowest) * n_features // (distinct + lowest)",
            "torch.arange(lowest, distinct + lowest)", MASKS),
    Mistake("3 range of degrees from the number of units", "masks.py",
            "torch.randint(low, n_features, (width,)",
            "torch.randint(low, max(low, min(width, n_features - 1)) + 1, (width,)", MASKS),
    Mistake("3 units without a path in", "masks.py",
            "low = 0 if context else min(1, n_features - 1)", "low = 0", MASKS),
    Mistake("4 smallest degree of two layers back", "masks.py",
            "low = int(degrees[-1].min())", "low = int(degrees[max(len(degrees) - 2, 0)].min())", MASKS),
    Mistake("5 weights masked in place", "layers.py",
            "return self.weight * self.mask", "self.weight.data *= self.mask\n        return self.weight", LAYERS),
    Mistake("6 a new mask in every forward pass", "model.py",
            "        h = inputs\n",
            "        self.use(int(torch.randint(len(self.connectivities), ())))\n        h = inputs\n", MODEL),
    Mistake("8 the order where its inverse is needed: degrees", "masks.py",
            "degrees[order] = torch.arange(1, n + 1)", "degrees = order.long() + 1", INVARIANTS),
    Mistake("8 the order where its inverse is needed: samples", "sampling.py",
            "samples[:, order] = draw_in_order(model, u[:, order], given[:, order], temperature, context, block)", "samples = draw_in_order(model, u[:, order], given[:, order], temperature, context, block)[:, order]", SAMPLING),
    Mistake("8 the inverse where the order is needed: naive", "sampling.py",
            "model.connectivity.order.tolist()", "(model.connectivity.degrees[0] - 1).tolist()", SAMPLING),
    Mistake("8 the inverse where the order is needed: given", "model.py",
            "known[:, self.connectivity.order.to(known.device)]",
            "known[:, self.connectivity.order.argsort().to(known.device)]", SAMPLING),
    Mistake("10 the choice of connectivity is not restored", "model.py",
            'self.use(rebuild(state["current"]))', "self.use(0)", INVARIANTS),
    Mistake("10 connectivities are not restored", "model.py",
            'self.connectivities = [rebuild(degrees) for degrees in state["connectivities"]]', "", MODEL),
    Mistake("10 the inverse order is restored", "model.py",
            "Connectivity(degrees[0].cpu().argsort(),", "Connectivity(degrees[0].cpu() - 1,", INVARIANTS),
    Mistake("11 one variable, even degrees", "masks.py",
            "lowest = 0 if context or n_features == 1 else 1", "lowest = 0 if context else 1", MASKS),
    Mistake("11 one variable, random degrees", "masks.py",
            "low = 0 if context else min(1, n_features - 1)", "low = 0 if context else 1", MASKS),
    Mistake("12 no activation between two layers", "model.py",
            "self.dropout(self.activation(layer(h)))", "self.dropout(layer(h))", MODEL),
    Mistake("12 no activation in the sampler", "sampling.py",
            "model.activation(torch.addmm(p, units[-1], w))", "torch.addmm(p, units[-1], w)", SAMPLING),
    Mistake("13 chunked output masks", "model.py",
            "masks[-1].repeat_interleave(K, dim=0)", "masks[-1].repeat(K, 1)", INVARIANTS),
    Mistake("13 chunked input masks", "model.py",
            "mask.repeat_interleave(E, dim=1)", "mask.repeat(1, E)", INVARIANTS),
    Mistake("13 chunked parameters", "model.py",
            "return out.unflatten(-1, (self.n_features, self.likelihood.n_params))",
            "return out.unflatten(-1, (self.likelihood.n_params, self.n_features)).transpose(-1, -2)", INVARIANTS),
    Mistake("13 log of a rounded probability", "likelihoods.py",
            "distributions.Bernoulli(logits=params.squeeze(-1)",
            "distributions.Bernoulli(probs=torch.sigmoid(params.squeeze(-1))", LIKELIHOODS),
    Mistake("13 softplus for exp", "likelihoods.py",
            "Normal(mean, self.min_scale + log_scale.exp(), validate_args=validate_args)\n\n    def",
            "Normal(mean, self.min_scale + F.softplus(log_scale), validate_args=validate_args)\n\n    def",
            LIKELIHOODS),
    Mistake('15 evaluation moves on to another mask', 'training.py',
            'batches = Batches("x", x, context,', 'if len(getattr(model, \'connectivities\', [])) > 1:\n        model.use(1)\n    batches = Batches("x", x, context,', TRAINING),
    Mistake("15 validation moves on the training generator", "training.py",
            "with evaluating(model), torch.random.fork_rng(devices=[]):", "torch.rand(1)\n    with evaluating(model), torch.random.fork_rng(devices=[]):", TRAINING),
    Mistake("15 the last small batch is dropped", "batches.py",
            "for rows in order.split(self.batch_size)[skip:])", "for rows in order.split(self.batch_size)[skip:] if len(rows) == self.batch_size)", TRAINING),
    Mistake("15 early stopping on training rows", "training.py",
            "mean_loss(model, held_out, group)", "mean_loss(model, batches, group)", TRAINING),
    Mistake("15 validation under the mask of the last step", "training.py",
            "                    masked.use(0)  # type: ignore[operator]\n", "                    pass\n", TRAINING),
    Mistake("16 dropout in evaluation", "layers.py", "    module.eval()\n", "", INVARIANTS),
    Mistake("16 dropout while validating", "training.py",
            "with evaluating(model), torch.random.fork_rng(devices=[]):", "with torch.no_grad(), torch.random.fork_rng(devices=[]):", TRAINING),
    Mistake("17 samples in float32 only", "model.py",
            "weight.new_full((n, self.n_features), torch.nan)", "torch.full((n, self.n_features), torch.nan)",
            INVARIANTS),
    Mistake("18 the constructor seeds the global generator", "model.py",
            '"generator": torch.Generator().manual_seed(seed)', '"generator": torch.manual_seed(seed)', MODEL),
    Mistake("18 weights from the global generator", "layers.py",
            "parameter.uniform_(-bound, bound, generator=self._generator)", "parameter.uniform_(-bound, bound)",
            LAYERS),
    Mistake("18 fit seeds the global generator", "training.py",
            "with torch.random.fork_rng(devices=devices), progress_bar", "with progress_bar", TRAINING),
    Mistake("own: hidden mask >", "masks.py",
            "after[:, None] >= before[None, :]", "after[:, None] > before[None, :]", INVARIANTS),
    Mistake("own: direct mask not strict", "masks.py",
            "return build_masks(self.degrees[:1])[0]",
            "return self.degrees[0][:, None] >= self.degrees[0][None, :]", INVARIANTS),
    Mistake("own: every connectivity from the same seed", "model.py",
            'self._config["seed"] + k', 'self._config["seed"]', MODEL),
    Mistake("own: dropout forgotten", "model.py", "nn.Dropout(dropout)", "nn.Dropout(0.0)", MODEL),
    Mistake("own: loss is a sum over rows", "model.py",
            "return -self.log_prob(x, context).mean()", "return -self.log_prob(x, context).sum()", MODEL),
    Mistake("own: log-probability averaged over variables", "likelihoods.py",
            "self.log_conditionals(params, x).sum(-1)", "self.log_conditionals(params, x).mean(-1)", LIKELIHOODS),
    Mistake("own: NaN and grey values accepted", "likelihoods.py",
            "(x != 0) & (x != 1)", "(x < 0) | (x > 1)", LIKELIHOODS),
    Mistake("own: no floor under the scale", "likelihoods.py",
            "Normal(mean, self.min_scale + log_scale.exp(), validate_args=validate_args)\n\n    def",
            "Normal(mean, log_scale.exp(), validate_args=validate_args)\n\n    def", LIKELIHOODS),
    Mistake("own: temperature ignored", "likelihoods.py",
            "params.squeeze(-1) / temperature", "params.squeeze(-1)", LIKELIHOODS),
    Mistake("own: temperature scales the deviation", "likelihoods.py",
            "normal.scale * math.sqrt(temperature)", "normal.scale * temperature", LIKELIHOODS),
    Mistake("own: category drawn one too high", "likelihoods.py",
            ".cumsum(-1)[..., :-1]", ".cumsum(-1)[..., 1:]", LIKELIHOODS),
    Mistake("own: direct term dropped inside a block", "sampling.py",
            "out.addmm_(units[0], inner_direct)", "pass", SAMPLING),
    Mistake("own: no strict inequality in the sampler", "sampling.py",
            "layer.mask[r][:, c] for layer", "layer.mask.new_ones(layer.mask.shape)[r][:, c].tril() for layer", SAMPLING),
    Mistake("own: inner weights of the sampler not masked", "sampling.py",
            "(w[r, c] * m[r, c]).T", "w[r, c].T", SAMPLING),
    Mistake("own: units taken for sorted", "sampling.py",
            "slice(None) if (d.diff() >= 0).all() else", "slice(None) if True else", SAMPLING),
    Mistake("own: direct term of the past dropped", "sampling.py",
            "past[-1].addmm_(state[0][:, : done[0]], weight[:, : done[0]].T)", "pass", INVARIANTS),
    Mistake("own: blocks stop one round early", "sampling.py",
            "for _ in range(stop - start + 1):", "for _ in range(stop - start):", SAMPLING),
    Mistake("own: given ignored by the incremental sampler", "sampling.py",
            "drawn = torch.where(known_here, guess, drawn)", "pass", SAMPLING),
    Mistake("own: given ignored by the naive sampler", "sampling.py",
            "x[:, i] = torch.where(known[:, i], x[:, i], drawn)", "x[:, i] = drawn", SAMPLING),
    Mistake("own: uniforms of other variables", "sampling.py",
            "draw_in_order(model, u[:, order], given[:, order],", "draw_in_order(model, u, given[:, order],", SAMPLING),
    Mistake("own: uniforms may be zero", "sampling.py",
            "return u.clamp_(min=torch.finfo(torch.float64).tiny)", "return u", SAMPLING),
    Mistake("own: any given accepted", "model.py",
            "(by_step[:, 1:] & ~by_step[:, :-1]).any()", "False", SAMPLING),
    Mistake("own: best weights not restored", "training.py",
            "    model.load_state_dict(run.best)\n", "", TRAINING),
    Mistake("own: best weights not copied", "training.py",
            "self.best, self.history.best_epoch = copy.deepcopy(self.model.state_dict()), epoch", "self.best, self.history.best_epoch = self.model.state_dict(), epoch", TRAINING),
    Mistake("own: patience one too long", "training.py",
            "run.epochs_without_gain() < patience:", "run.epochs_without_gain() <= patience:", TRAINING),
    Mistake("own: batches weigh the same whatever their size", "training.py",
            "run.total += loss.item() * len(part[0])", "run.total += loss.item() * batch_size", TRAINING),
    Mistake("own: standard deviation for standard error", "training.py",
            "losses.std().item() / math.sqrt(len(losses))", "losses.std().item()", TRAINING),
    Mistake("own: weight decay not passed on", "training.py", "weight_decay=weight_decay, ", "", TRAINING),
    Mistake("own: masks never take turns", "training.py",
            "masked.use(masked.connectivity_for(run.step))", "masked.use(0)", TRAINING),
    Mistake("own: noise in evaluation", "autoencoder.py",
            "if self.training and self.noise is not None:", "if self.noise is not None:", AUTOENCODER),
    Mistake("own: ReLU on the code", "autoencoder.py",
            "return nn.Sequential(*layers[:-1])", "return nn.Sequential(*layers)", AUTOENCODER),
    Mistake("own: noise masks single indicators", "autoencoder.py",
            "return inputs * (chance >= level).unsqueeze(-1)",
            "return inputs * (torch.rand(inputs.shape, generator=generator) >= level)", AUTOENCODER),
    Mistake("own: test rows leak into train", "data.py",
            "return Split(*grey.split(sizes),", "return Split(grey, *grey.split(sizes)[1:],", DATA),
    Mistake("own: threshold above one half", "data.py", "grey >= 0.5", "grey > 0.5", DATA),
    Mistake("own: checksum not compared", "data.py", "if found == file.sha256 else", "if True else", DATA),
    Mistake("own: half-written file stays", "data.py",
            "            partial.unlink(missing_ok=True)", "            pass", DATA),
    Mistake("own: only the first source is tried", "data.py",
            "for url in file.urls:", "for url in file.urls[:1]:", DATA),
    Mistake("own: proof by experiment transposed", "diagnostics.py", "moved.any(-1).T", "moved.any(-1)", DIAGNOSTICS),
    Mistake("own: probability summed over part of the states", "diagnostics.py",
            "states(model).split(2**14)]", "states(model).split(2**14)[:1]]", DIAGNOSTICS),
    Mistake("own: proofs look at the diagonal only", "diagnostics.py",
            "moved.any(-1).T", "moved.any(-1).T & torch.eye(n_features, dtype=torch.bool)", DIAGNOSTICS),
    Mistake("context: the first variable cannot hear it, even degrees", "masks.py",
            "lowest = 0 if context or n_features == 1 else 1", "lowest = 0 if n_features == 1 else 1", INVARIANTS),
    Mistake("context: the first variable cannot hear it, random degrees", "masks.py",
            "low = 0 if context else min(1, n_features - 1)", "low = min(1, n_features - 1)", MASKS),
    Mistake("context: a unit of degree 0 by luck only", "masks.py", "degrees[-1][0] = 0", "pass", MASKS),
    Mistake("context: the model does not tell the masks", "model.py",
            "context=self.context_features > 0", "context=False", INVARIANTS),
    Mistake("context: degrees shifted", "sampling.py",
            "context = inputs.new_zeros(model.context_features)", "context = inputs.new_ones(model.context_features)",
            SAMPLING + " " + INVARIANTS),
    Mistake("context: masked out", "model.py", "(C, 0), value=True)", "(C, 0), value=False)", INVARIANTS),
    Mistake("context: columns at the wrong end of the mask", "model.py",
            "(C, 0), value=True)", "(0, C), value=True)", INVARIANTS),
    Mistake("context: columns at the wrong end of the input", "model.py",
            "torch.cat([context, inputs], -1)", "torch.cat([inputs, context], -1)", INVARIANTS),
    Mistake("context: forgotten by the incremental sampler", "sampling.py",
            "state[0][:, : context.shape[1]] = context", "pass", INVARIANTS),
    Mistake("context: forgotten by the naive sampler", "sampling.py",
            "model(x, context)[:, i : i + 1]",
            "model(x, None if context is None else 0 * context)[:, i : i + 1]", INVARIANTS),
    Mistake("context: taken for an input by the proof by derivatives", "diagnostics.py",
            "jacobian(network, inputs)[..., n_context:]",
            "jacobian(network, inputs)[..., : len(inputs) - n_context]", DIAGNOSTICS),
    Mistake("context: NaN accepted", "model.py", "if not context.isfinite().all():", "if False:", MODEL),
    Mistake("context: of other rows in training", "batches.py",
            "[take(source, rows) for source in self.sources]", "[take(s, rows if s is self.sources[0] else rows.sort().values) for s in self.sources]", TRAINING),
    Mistake('context: of the training rows in validation', 'training.py',
            'Batches("valid", valid, contexts[-1],', 'Batches("valid", valid, contexts[0],', TRAINING),
    Mistake("context: of the first rows for all in nll", "batches.py",
            "[take(source, rows) for source in self.sources]", "[take(s, rows if s is self.sources[0] else rows - rows[0]) for s in self.sources]", TRAINING),
    Mistake("residual: the first layer too", "model.py",
            "h + new if self.residual and layer is not self.hidden[0] else new",
            "h + new if self.residual and h.shape == new.shape else new", MODEL),
    Mistake("residual: forgotten", "model.py",
            "h = h + new if self.residual and layer is not self.hidden[0] else new", "h = new", MODEL),
    Mistake("residual: the sum passes the activation", "model.py",
            "h = h + new if self.residual and layer is not self.hidden[0] else new",
            "h = self.activation(h + layer(h)) if self.residual and layer is not self.hidden[0] else new", MODEL),
    Mistake("residual: forgotten by the sampler", "sampling.py",
            "units.append(units[-1] + new_units if model.residual and len(units) > 1 else new_units)",
            "units.append(new_units)", INVARIANTS),
    Mistake("residual: the first layer too in the sampler", "sampling.py",
            "model.residual and len(units) > 1 else", "model.residual and units[-1].shape == new_units.shape else",
            INVARIANTS),
    Mistake("residual: unequal degrees drawn", "model.py",
            "        if self.residual:  # a unit may", "        if False:  # a unit may", INVARIANTS),
    Mistake("residual: unequal degrees accepted", "model.py", "if self.residual and any(", "if False and any(", MODEL),
    Mistake("residual: unequal widths accepted", "model.py",
            "if residual and len(set(hidden)) > 1:", "if False:", MODEL),
    Mistake("companions: the mask ignored", "layers.py",
            "(self.companion * self.mask).mean(1)", "self.companion.mean(1)", LAYERS),
    Mistake("companions: forgotten", "layers.py",
            "kept if self.bias is None else self.bias + kept", "kept if self.bias is None else self.bias", LAYERS),
    Mistake("companions: forgotten by the sampler", "sampling.py", "layer.offset()[r] for", "layer.bias[r] for",
            INVARIANTS),
    Mistake("companions: those of the direct connections forgotten by the sampler", "sampling.py",
            "biases[-1] = biases[-1] + model.direct.offset()[orders[-1]]", "pass", INVARIANTS),
    Mistake("companions: never made", "model.py",
            '{"companion": mask_conditioning, ', '{"companion": False, ', MODEL),
    Mistake("fresh masks: advanced by evaluation", "training.py",
            "    total, n = 0.0, 0.0\n", "    total, n = 0.0, 0.0\n    if getattr(model, 'n_masks', 1) != 1:\n        model.use(model.connectivity_for(1))\n", TRAINING),
    Mistake("fresh masks: never fresh", "model.py",
            "self.draw(step) if self.n_masks is None", "self.connectivities[0] if self.n_masks is None", TRAINING),
    Mistake("fresh masks: a new start in every epoch", "training.py",
            "self.done, self.rows, self.total = 0, 0, 0.0\n        self.save()", "self.done, self.rows, self.total, self.step = 0, 0, 0.0, 0\n        self.save()", TRAINING),
    Mistake("fresh masks: not for a module around the model", "training.py",
            "for m in model.modules() if", "for m in [model] if", TRAINING),
    Mistake("fresh masks: the last one stays", "training.py",
            "                    masked.use(0)  # type: ignore[operator]\n",
            "                    masked.n_masks is None or masked.use(0)\n", TRAINING),
    Mistake("mixture: logs are averaged", "ensemble.py",
            "torch.stack(parts).logsumexp(0) - math.log(len(parts))", "torch.stack(parts).mean(0)", ENSEMBLE),
    Mistake("mixture: without - log K", "ensemble.py", ".logsumexp(0) - math.log(len(parts))", ".logsumexp(0)",
            ENSEMBLE),
    Mistake("mixture: one connectivity counted for all", "ensemble.py",
            "                parts.append(self.model.log_prob(x, context))\n",
            "                pass\n            parts.append(self.model.log_prob(x, context))\n", ENSEMBLE),
    Mistake("mixture: what is known does not choose", "ensemble.py",
            "torch.stack(scores, 1).softmax(1)", "torch.zeros(n, len(scores)).softmax(1)", ENSEMBLE),
    Mistake("mixture: the likeliest connectivity instead of a draw", "ensemble.py",
            "torch.multinomial(chances, 1, generator=generator).squeeze(1)", "chances.argmax(1)", ENSEMBLE),
    Mistake("mixture: contexts of other rows", "ensemble.py",
            "some = None if context is None else context[rows]\n            options",
            "some = None if context is None else context[: len(rows)]\n            options", ENSEMBLE),
    Mistake("evaluation ends in training mode", "layers.py",
            "            part.training = training", "            part.train()", LAYERS),
    Mistake("mixture: scores with dropout", "ensemble.py", "        with evaluating(model):\n", "        if True:\n",
            ENSEMBLE),
    Mistake("using: nothing put back after an error", "ensemble.py",
            "    try:\n        yield\n    finally:\n        model.use(before)", "    yield\n    model.use(before)",
            ENSEMBLE),
    Mistake("prefix: values after a gap count", "ensemble.py",
            "known[:, order].cumprod(1)[:, order.argsort()].bool()", "known", ENSEMBLE),
    Mistake("prefix: back by the order, not its inverse", "ensemble.py",
            "cumprod(1)[:, order.argsort()]", "cumprod(1)[:, order]", ENSEMBLE),
    Mistake("prefix: all conditionals count", "ensemble.py",
            "torch.where(leading, conditionals, 0.0).sum(1)", "conditionals.sum(1)", ENSEMBLE),
    Mistake("impute: the missing first", "ensemble.py", "order[missing[order].int()", "order[(~missing)[order].int()",
            ENSEMBLE),
    Mistake("impute: pattern not looked at in the order", "ensemble.py",
            "order[missing[order].int().argsort(stable=True)]", "order[missing.int().argsort(stable=True)]", ENSEMBLE),
    Mistake("impute: inverse order", "ensemble.py",
            "model.connectivity.reordered(known_first)", "model.connectivity.reordered(known_first.argsort())",
            ENSEMBLE),
    Mistake("impute: the order of the known forgotten", "ensemble.py",
            "order[missing[order].int().argsort(stable=True)]", "missing.int().argsort(stable=True)", ENSEMBLE),
    Mistake("impute: rows and samples interchanged", "ensemble.py",
            "drawn.unflatten(0, (n_samples, -1))", "drawn.unflatten(0, (-1, n_samples)).transpose(0, 1)", ENSEMBLE),
    Mistake("impute: contexts of other rows", "ensemble.py",
            "context[rows].repeat(n_samples, 1)", "context[rows].repeat_interleave(n_samples, 0)", ENSEMBLE),
    Mistake("impute: any model will do", "ensemble.py", "if not model.order_agnostic:", "if False:", ENSEMBLE),
    Mistake("marginal: any model will do", "ensemble.py",
            "if not model.order_agnostic and not torch.equal(known_first, order):", "if False:", ENSEMBLE),
    Mistake("reordered: hidden degrees drawn anew", "masks.py",
            "return Connectivity(order, (degrees_from_order(order), *self.degrees[1:]))",
            "return Connectivity.create(self.n_features, self.hidden, order)", MASKS),
    Mistake("mixture of Gaussians: interleaved parameters", "likelihoods.py",
            "params.unflatten(-1, (3, self.k)).unbind(-2)\n        components",
            "params.unflatten(-1, (self.k, 3)).unbind(-1)\n        components", LIKELIHOODS),
    Mistake("mixture of Gaussians: interleaved parameters in the samples", "likelihoods.py",
            "params.unflatten(-1, (3, self.k)).unbind(-2)\n        p =",
            "params.unflatten(-1, (self.k, 3)).unbind(-1)\n        p =", LIKELIHOODS),
    Mistake("mixture of Gaussians: the rest of the uniform not used", "likelihoods.py",
            "rest = (u - pick(upto - p)) / pick(p)", "rest = u", LIKELIHOODS),
    Mistake("mixture of Gaussians: the rest of the uniform not stretched", "likelihoods.py",
            "rest = (u - pick(upto - p)) / pick(p)", "rest = u - pick(upto - p)", LIKELIHOODS),
    Mistake("mixture of Gaussians: weights keep their temperature", "likelihoods.py",
            "torch.softmax(logits.double() / temperature, -1)", "torch.softmax(logits.double(), -1)", LIKELIHOODS),
    Mistake("mixture of Gaussians: a component without weight chosen", "likelihoods.py",
            "        u = u * upto[..., -1]", "        u = u * 1", LIKELIHOODS),
    Mistake("mixture of Gaussians: no floor under the scale", "likelihoods.py",
            "components = distributions.Normal(mean, self.min_scale + log_scale.exp()",
            "components = distributions.Normal(mean, log_scale.exp()", LIKELIHOODS),
    Mistake("mixture of Gaussians: the temperature scales the deviation", "likelihoods.py",
            "pick(log_scale).exp()) * math.sqrt(temperature)", "pick(log_scale).exp()) * temperature", LIKELIHOODS),
    Mistake("discretized logistic: tails lost", "likelihoods.py",
            "below, above = level > 0, level < self.k - 1", "below, above = level >= 0, level < self.k", LIKELIHOODS),
    Mistake("discretized logistic: half an interval", "likelihoods.py", "torch.expm1(-2 * h / scale)",
            "torch.expm1(-h / scale)", LIKELIHOODS),
    Mistake("discretized logistic: unstable difference", "likelihoods.py",
            "torch.log(-torch.expm1(-2 * h / scale))", "torch.log(1 - torch.exp(-2 * h / scale))", LIKELIHOODS),
    Mistake("discretized logistic: weights not normalised", "likelihoods.py",
            "(logits.log_softmax(-1) + log_mass)", "(logits + log_mass)", LIKELIHOODS),
    Mistake("discretized logistic: interleaved parameters", "likelihoods.py",
            "params.unflatten(-1, (3, self.components)).unbind(-2)",
            "params.unflatten(-1, (self.components, 3)).unbind(-1)", LIKELIHOODS),
    Mistake("own: values not checked", "likelihoods.py",
            "        self.check(x)\n        return self.log_conditionals", "        return self.log_conditionals", LIKELIHOODS),
    Mistake("discretized logistic: every level is computed", "likelihoods.py",
            "        return self.log_mass(params, x)\n", "        return super().log_conditionals(params, x)\n", LIKELIHOODS),
    Mistake("columns: every level is computed", "likelihoods.py",
            "kind.log_conditionals(params[..., v, : kind.n_params], x[..., v])", "kind.distribution(params[..., v, : kind.n_params], validate_args=False).log_prob(x[..., v])", LIKELIHOODS),
    Mistake("discretized logistic: code from 0 to 2", "likelihoods.py",
            "return (2 * x / (self.k - 1) - 1).unsqueeze(-1)", "return (2 * x / (self.k - 1)).unsqueeze(-1)",
            LIKELIHOODS),
    Mistake("columns: put back in the wrong order", "likelihoods.py",
            "torch.tensor(order, device=joined.device).argsort()", "torch.tensor(order, device=joined.device)",
            LIKELIHOODS),
    Mistake("columns: not put back", "likelihoods.py",
            "return joined.index_select(dim, torch.tensor(order, device=joined.device).argsort())", "return joined",
            LIKELIHOODS),
    Mistake("columns: some of them narrower than before", "likelihoods.py",
            "Columns([self.columns[i] for i in variables], self.n_inputs, self.n_params)",
            "Columns([self.columns[i] for i in variables])", LIKELIHOODS),
    Mistake("columns: the sampler takes the first for all", "sampling.py",
            "model.likelihood.at(model.connectivity.order[here].tolist())", "model.likelihood.at(list(range(start, stop)))", INVARIANTS),
    Mistake("columns: the last raw outputs instead of the first", "likelihoods.py",
            "kind.sample(params[..., v, : kind.n_params], u", "kind.sample(params[..., v, -kind.n_params :], u",
            LIKELIHOODS),
    Mistake("columns: temperature ignored", "likelihoods.py", "u[..., v], temperature))", "u[..., v]))", LIKELIHOODS),
    Mistake("columns: written down without the columns' arguments", "likelihoods.py",
            "[from_config(column) for column", "[from_config({'name': 'Bernoulli'}) for column", LIKELIHOODS),
    Mistake("columns: every one has the most states", "diagnostics.py",
            "sizes = [likelihood.at([i]).n_states for", "sizes = [likelihood.n_states for", DIAGNOSTICS),
    Mistake("proof by experiment: where codes are negative", "diagnostics.py",
            "float(model.likelihood.at([i]).n_states or 2) - 1 for", "1.0 for", DIAGNOSTICS),
    Mistake("whole numbers taken for the model's dtype", "model.py",
            "torch.where(x.isnan(), 0, x)", "torch.where(x.isnan(), 0.0, x)", ENSEMBLE),
    # long runs: strips, batches, checkpoints, several processes
    Mistake("strips: gradients not masked", "layers.py",
            "            dw[rows, sure:reach].mul_(mask[rows, sure:reach])\n", "", STRIPS),
    Mistake("strips: gradients beyond the strip left as they were in memory", "layers.py",
            "            dw[rows, reach:].zero_()\n", "            dw[rows, reach:].fill_(1)\n", STRIPS),
    Mistake("strips: gradients masked from the reach on", "layers.py",
            "dw[rows, sure:reach].mul_(mask[rows, sure:reach])", "dw[rows, reach:].mul_(mask[rows, reach:])", STRIPS),
    Mistake("strips: one column short", "layers.py",
            "int(part.any(0).nonzero().max()) + 1", "int(part.any(0).nonzero().max())", STRIPS),
    Mistake("strips: reach of the first row", "layers.py",
            "int(part.any(0).nonzero().max()) + 1 if part.any() else 0", "int(part[0].sum())", STRIPS),
    Mistake("strips: sure where any may", "layers.py",
            "int(part.all(0).int().cumprod(0).sum())", "int(part.any(0).int().cumprod(0).sum())", STRIPS),
    Mistake("strips: sure columns counted over gaps", "layers.py",
            "int(part.all(0).int().cumprod(0).sum())", "int(part.all(0).sum())", STRIPS),
    Mistake("strips: inputs get the gradient of the last strip only", "layers.py",
            "dx[:, :reach].addmm_(dy[:, rows], weight[rows, :reach])", "dx[:, :reach] = dy[:, rows] @ weight[rows, :reach]", STRIPS),
    Mistake("strips: the last rows forgotten", "layers.py",
            "for start in range(0, len(mask), height):", "for start in range(0, max(1, len(mask) - height), height):", STRIPS),
    Mistake("kept masked: weights not masked at the start", "layers.py",
            "            layer.weight *= layer.mask\n", "            pass\n", STRIPS),
    Mistake("kept masked: strips stay for good", "layers.py",
            "    finally:\n        for layer in layers:\n            layer.strips = None\n", "    finally:\n        pass\n", STRIPS),
    Mistake("kept masked: another mask goes unnoticed", "layers.py",
            "would be converted at every call\n        self.strips = None\n", "would be converted at every call\n", STRIPS),
    Mistake("kept masked: bias forgotten", "layers.py",
            "return y if offset is None else y + offset", "return y", STRIPS),
    Mistake("kept masked: in spite of several masks", "training.py",
            "kept_masked(model) if masked is None and not amp else nullcontext()", "kept_masked(model)", STRIPS),
    Mistake("batches: what is skipped is not drawn", "batches.py",
            "order.split(self.batch_size)[skip:]", "order[skip * self.batch_size :][torch.randperm(max(0, len(order) - skip * self.batch_size))].split(self.batch_size)", BATCHES),
    Mistake("batches: a context in the order of the file", "batches.py",
            "[take(source, rows) for source in self.sources]", "[take(source, rows if k == 0 else rows.sort().values) for k, source in enumerate(self.sources)]", BATCHES),
    Mistake("batches: every process gets all rows", "batches.py",
            "rows[self.rank :: self.world]", "rows", BATCHES),
    Mistake("batches: rows of another process", "batches.py",
            "rows[self.rank :: self.world]", "rows[:: self.world]", BATCHES),
    Mistake("batches: a file is read as a whole", "batches.py",
            "        self.batch_size, self.generator, self.rank", "        self.sources = [np.array(s) if isinstance(s, np.ndarray) else s for s in self.sources]\n        self.batch_size, self.generator, self.rank", BATCHES),
    Mistake("batches: the fingerprint looks at the first rows", "batches.py",
            "torch.linspace(0, len(source) - 1, 100).long()", "torch.arange(1)", BATCHES),
    Mistake("batches: the fingerprint forgets contexts", "batches.py",
            "        for source in self.sources:\n            if not isinstance(source, (Tensor", "        for source in self.sources[:1]:\n            if not isinstance(source, (Tensor", BATCHES),
    Mistake("batches: the loader's sampler is not told the epoch", "batches.py",
            "            sampler.set_epoch(epoch)\n", "            pass\n", BATCHES),
    Mistake("accumulation: parts weigh the same", "training.py",
            "(loss * (len(part[0]) / n)).backward()", "(loss / accumulate).backward()", BATCHES),
    Mistake("accumulation: gradients of the last part only", "training.py",
            "(loss * (len(part[0]) / n)).backward()", "optimizer.zero_grad()\n                            (loss * (len(part[0]) / n)).backward()", BATCHES),
    Mistake("processes: gradients not added", "training.py",
            "                        group.add_gradients(model)\n", "", PARALLEL),
    Mistake("processes: mean of rows taken per process", "training.py",
            "n, overdue = group.sum(len(batch[0]) if batch else 0, run.overdue(checkpoint_seconds))",
            "n, overdue = len(batch[0]) if batch else 0, run.overdue(checkpoint_seconds)", PARALLEL),
    Mistake("processes: weights not shared at the start", "training.py",
            "            self.group.share(self.model)\n", "", PARALLEL),
    Mistake("processes: the same noise in all", "training.py",
            "torch.manual_seed(seed + group.rank)", "torch.manual_seed(seed)", PARALLEL),
    Mistake("processes: each validates on its own rows", "training.py",
            "    total, n = group.sum(total, n)\n", "", PARALLEL),
    Mistake("processes: the losses of the first only", "training.py",
            "len(self.history.train), self.group.sum(self.total)", "len(self.history.train), (self.total,)", PARALLEL),
    Mistake("processes: the randomness of the first for all", "training.py",
            'state["processes"][self.group.rank]', 'state["processes"][0]', PARALLEL),
    Mistake("processes: each writes the checkpoint when its own clock says so", "training.py",
            "        if self.group.rank == 0:\n            write", "        if True:\n            write", PARALLEL),
    Mistake("resume: the optimizer starts afresh", "training.py",
            '        self.optimizer.load_state_dict(state["optimizer"])\n', "", RESUME),
    Mistake("resume: the epoch starts afresh", "training.py",
            "batches = self.batches.after(self.done)", "batches = self.batches.after(0)", RESUME),
    Mistake("resume: dropout is not put back", "training.py",
            "        if self.done:\n            self.set_randomness(now)\n", "", RESUME),
    Mistake("resume: the order is not put back", "training.py",
            "        self.set_randomness(self.epoch_start)\n", "", RESUME),
    Mistake("resume: the best weights are forgotten", "training.py",
            'self.best, self.history = state["best"], History(**state["history"])', 'self.history = History(**state["history"])', RESUME),
    Mistake("resume: the masks start afresh", "training.py",
            'self.step, self.done, self.rows = state["step"], state["done"], state["rows"]', 'self.done, self.rows = state["done"], state["rows"]', RESUME),
    Mistake("resume: another run is not refused", "training.py",
            '        check_same_run(self.path, state["settings"], self.settings)\n', "", RESUME),
    Mistake("resume: a file is overwritten", "training.py",
            "        if not resume:\n            raise FileExistsError", "        if False:\n            raise FileExistsError", RESUME),
    Mistake("checkpoint: written in place", "checkpoint.py",
            'partial = Path(f"{os.fspath(path)}.partial")', "partial = Path(path)", RESUME),
    Mistake("checkpoint: not put on the disk before it is renamed", "checkpoint.py",
            "        os.fsync(file.fileno())\n", "", RESUME),
    Mistake("checkpoint: damage is not noticed", "checkpoint.py",
            "if first != header(content):", "if False:", CHECKPOINT),
    Mistake("checkpoint: whatever file is loaded", "checkpoint.py",
            "if not first.startswith(MAGIC):", "if False:", CHECKPOINT),
]  # fmt: skip

GUARD = """
from pathlib import Path
import made
def test_the_copy_is_what_is_tested():
    assert Path(made.__file__).parent == Path({folder!r}) / "made"
"""


def copy_to(folder: Path) -> None:
    """Package and tests, and a test that fails if the package tested is another one."""
    for name in ("made", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "book"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "tests" / "test_guard.py").write_text(GUARD.format(folder=str(folder)))


def red_tests(folder: Path, tests: list[str], options: list[str]) -> list[str]:
    """Run tests in a folder; the names of those that failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--tb=no", *options]
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command += ["tests/test_guard.py", *tests]
    try:
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        return ["(no end after 600 s)"]
    found = re.findall(r"^(?:FAILED|ERROR) (tests/\S+?\.py(?:::\w+(?:\[.*?\](?= - |$))?)?)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1, 2) or (done.returncode == 0) != (not found):
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    if any("test_guard" in name for name in found):
        raise SystemExit("the planted copy is not the package that was imported")
    return found


def plant(mistake: Mistake, folder: Path) -> None:
    """Put one mistake into the copy."""
    path = folder / "made" / mistake.file
    text = path.read_text()
    if text.count(mistake.old) != 1:
        raise LookupError(f"text found {text.count(mistake.old)} times in {mistake.file}, expected once")
    path.write_text(text.replace(mistake.old, mistake.new))
    compile(path.read_text(), str(path), "exec")


def main(words: list[str]) -> int:
    """Plant every chosen mistake; the number that no test noticed or that could not be planted."""
    chosen = [m for m in MISTAKES if not words or any(word in m.name for word in words)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copy_to(folder)
        already_red = red_tests(folder, sorted({test for m in chosen for test in m.tests.split()}), [])
    for test in already_red:
        print(f"red before anything was planted, left out: {test}")
    skip = [f"--deselect={test}" for test in already_red]
    width, bad = max(len(m.name) for m in chosen), 0
    for mistake in chosen:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name).resolve()
            copy_to(folder)
            try:
                plant(mistake, folder)
                found = red_tests(folder, mistake.tests.split(), ["-x", *skip])
                result = found[0] if found else "MISSED"
            except (LookupError, SyntaxError) as error:
                found, result = [], f"NOT PLANTED: {error}"
        bad += not found
        print(f"{mistake.name:<{width}}  {result}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} mistakes were noticed")
    return bad


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
