"""How a call to the hub can fail."""

from __future__ import annotations

from wardround.foundation.errors import NotAllowed, Unreachable, WardroundError


class HubUnreachable(Unreachable):
    """The hub doesn't answer; a loop tries again, with back-off."""

    code = "hub-unreachable"


class HubFailed(HubUnreachable):
    """The hub answered that it failed at this; trying again later may work."""

    code = "hub-failed"


class HubRefused(WardroundError):
    """The hub answered no; `code` is its word for why."""

    code = "hub-refused"


class HubUntrusted(WardroundError):
    """What answers isn't this federation's hub, or a certificate isn't valid (any more): nothing was sent."""

    code = "hub-untrusted"


class ClockSkewed(WardroundError):
    """This machine's clock and the hub's disagree by more than certificates allow."""

    code = "clock-skewed"


class MayNotLeave(NotAllowed):
    """Not of the closed list, larger than its kind may be, or held back by this hospital's policy: it was not sent."""

    code = "may-not-leave"


class MayLeaveLater(MayNotLeave):
    """Too much left lately, or the policy can't be read until somebody mends it: it was not sent now."""

    code = "over-rate"
