"""Training that was broken off and taken up again gives the very bits of training that wasn't."""

from dataclasses import dataclass, replace

import pytest

from wardround.learning.arrays import digest
from wardround.learning.bundle import packaged, read_bundle
from wardround.learning.resumption import StateRefused
from wardround.learning.segmenter import Segmenter
from wardround.learning.steering import Steering

STEPS = 4


@dataclass
class Notes:
    """Keeps the last state; after `dies_at` of them the process is as good as dead."""

    state: bytes | None = None
    whole: bool = False
    moments: bytes | None = None
    dies_at: int = -1
    kept: int = 0

    def begun(self):
        return self.state

    def before(self):
        return self.moments

    def due(self):
        return True

    def keep(self, state, *, whole):
        self.state, self.whole, self.kept = state, whole, self.kept + 1
        if self.kept == self.dies_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def bundle():
    found = read_bundle(packaged())
    quick = replace(found.setting("phantoms"), batch_size=2, learning_rate=1e-2)
    return replace(found, network={**found.network, "init_filters": 8}, settings={"default": quick})


@pytest.fixture(scope="module")
def cases(ball_head):
    return [ball_head(seed) for seed in range(2)]


def trained(bundle, cases, number, notes, **more):
    own = Segmenter(bundle)
    return own.train(
        own.initial(0), cases, steps=STEPS, round_number=number, total_rounds=2, seed=5, checkpoint=notes, **more
    )


@pytest.mark.parametrize("steering", [Steering(), Steering(proximal=0.5)])
def test_a_round_that_was_broken_off_goes_on_to_the_same_bits(bundle, cases, steering):
    unbroken = trained(bundle, cases, 1, Notes(), steering=steering)
    notes = Notes(dies_at=2)
    with pytest.raises(KeyboardInterrupt):
        trained(bundle, cases, 1, notes, steering=steering)
    steps = []
    resumed = trained(
        bundle, cases, 1, Notes(notes.state), steering=steering, progress=lambda done, *_: steps.append(done)
    )
    assert steps == [3, 4], "only what was missing was done"
    assert digest(resumed.arrays) == digest(unbroken.arrays)
    assert (resumed.loss, resumed.steps) == (unbroken.loss, unbroken.steps)


def test_a_whole_round_that_is_asked_for_again_isnt_trained_again(bundle, cases):
    notes = Notes()
    first = trained(bundle, cases, 1, notes)
    assert notes.whole
    steps = []
    again = trained(bundle, cases, 1, Notes(notes.state), progress=lambda done, *_: steps.append(done))
    assert steps == []
    assert (digest(again.arrays), again.loss) == (digest(first.arrays), first.loss)


def test_a_new_process_goes_on_with_the_moments_of_the_round_before(bundle, cases):
    whole = Notes()
    own = Segmenter(bundle)
    asked = {"steps": STEPS, "total_rounds": 2, "seed": 5}
    first = own.train(own.initial(0), cases, round_number=1, checkpoint=whole, **asked)
    unbroken = Segmenter(bundle)
    unbroken.train(own.initial(0), cases, round_number=1, **asked)
    expected = digest(unbroken.train(first.arrays, cases, round_number=2, **asked).arrays)

    fresh = Segmenter(bundle)
    moments = fresh.train(first.arrays, cases, round_number=2, checkpoint=Notes(moments=whole.state), **asked)
    none = fresh.train(first.arrays, cases, round_number=2, checkpoint=Notes(), **asked)
    assert digest(moments.arrays) == expected != digest(none.arrays)


@pytest.mark.parametrize("state", [b"", b"no state", "another network's"])
def test_what_is_no_state_of_this_network_is_refused(bundle, cases, state):
    if isinstance(state, str):
        other = Notes()
        trained(replace(bundle, network={**bundle.network, "init_filters": 16}), cases, 1, other)
        state = other.state
    with pytest.raises(StateRefused):
        trained(bundle, cases, 1, Notes(state))
    with pytest.raises(StateRefused):
        trained(bundle, cases, 2, Notes(moments=state))
