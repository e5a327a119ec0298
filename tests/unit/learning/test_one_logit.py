"""Training and inference take two outputs of a network of volumes for the same one logit."""

from __future__ import annotations

import numpy as np
import torch

from wardround.learning.prediction import logit


def test_two_outputs_are_one_logit_and_one_is_itself_whatever_runs_the_network() -> None:
    outputs = np.random.default_rng(4).normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    told = logit(outputs)
    assert told.shape == (2, 1, 3, 4, 5)
    np.testing.assert_array_equal(told[:, 0], outputs[:, 1] - outputs[:, 0])
    np.testing.assert_array_equal(logit(torch.from_numpy(outputs)).numpy(), told)
    np.testing.assert_array_equal(logit(told), told)
    # What it says of a voxel is what the two outputs' softmax does.
    rest, outlined = torch.softmax(torch.from_numpy(outputs), 1).numpy().swapaxes(0, 1)
    np.testing.assert_allclose(1 / (1 + np.exp(-told[:, 0])), outlined, rtol=1e-5)
    np.testing.assert_allclose(rest + outlined, 1, rtol=1e-6)
