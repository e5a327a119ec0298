"""FedProx at a site: training is held to the weights that the round began with, as strongly as the plan says."""

from dataclasses import replace

import numpy as np
import pytest

from wardround.learning.arrays import difference, digest, norm
from wardround.learning.bundle import packaged, read_bundle
from wardround.learning.segmenter import Segmenter
from wardround.learning.steered import Steered
from wardround.learning.steering import Steering


@pytest.fixture(scope="module")
def segmenter():
    bundle = read_bundle(packaged())
    quick = replace(bundle.setting("phantoms"), batch_size=4, learning_rate=1e-2, weight_decay=0.0)
    return Segmenter(replace(bundle, network={**bundle.network, "init_filters": 8}, settings={"default": quick}))


def trained(segmenter, ball_head, **said):
    began = segmenter.initial(0)
    cases = [ball_head(seed) for seed in range(2)]
    found = Segmenter(segmenter.bundle).train(began, cases, steps=6, round_number=1, total_rounds=1, seed=3, **said)
    return found.arrays, norm(difference(found.arrays, began))


def test_the_stronger_it_is_the_less_far_training_goes(segmenter, ball_head):
    lengths = [trained(segmenter, ball_head, steering=Steering(proximal=mu))[1] for mu in (0.0, 1.0, 100.0)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[2] < 0.9 * lengths[0]


def test_without_it_training_is_the_same_to_the_bit(segmenter, ball_head):
    assert digest(trained(segmenter, ball_head)[0]) == digest(trained(segmenter, ball_head, steering=Steering())[0])


def test_its_gradient_is_its_strength_times_the_distance_gone():
    import torch

    module = torch.nn.Linear(3, 1)
    began = {name: one.detach().numpy() - np.float32(0.5) for name, one in module.named_parameters()}
    steered = Steered(module, began, Steering(proximal=0.25))
    for one in module.parameters():
        one.grad = torch.ones_like(one)
    steered.hold()
    for one in module.parameters():
        assert one.grad is not None
        np.testing.assert_allclose(one.grad.numpy(), 1 + 0.25 * 0.5, rtol=1e-6)
