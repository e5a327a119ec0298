"""The state table of the DICOM upper layer: PS3.8 section 9.2, Tables 9-1 to 9-10.

Data only. :mod:`~wardround.dicom.network_association` performs the actions that an acceptor comes to.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class State(IntEnum):
    """Sta1 to Sta13 (Tables 9-1 to 9-5)."""

    IDLE = 1
    AWAITING_REQUEST = 2
    AWAITING_LOCAL_ACCEPTANCE = 3
    AWAITING_CONNECTION = 4
    AWAITING_ACCEPTANCE = 5
    ESTABLISHED = 6
    AWAITING_RELEASE = 7
    AWAITING_LOCAL_RELEASE = 8
    COLLISION_REQUESTOR_LOCAL = 9
    COLLISION_ACCEPTOR = 10
    COLLISION_REQUESTOR = 11
    COLLISION_ACCEPTOR_LOCAL = 12
    AWAITING_CLOSE = 13


class Event(IntEnum):
    """Evt1 to Evt19 (Table 9-10). `*_PDU` came from the peer, `*_REQUEST` and `*_RESPONSE` are our own wishes."""

    ASSOCIATE_REQUEST = 1
    CONNECTION_CONFIRMED = 2
    ASSOCIATE_AC_PDU = 3
    ASSOCIATE_RJ_PDU = 4
    CONNECTION_OPENED = 5
    ASSOCIATE_RQ_PDU = 6
    ACCEPT_RESPONSE = 7
    REJECT_RESPONSE = 8
    DATA_REQUEST = 9
    DATA_PDU = 10
    RELEASE_REQUEST = 11
    RELEASE_RQ_PDU = 12
    RELEASE_RP_PDU = 13
    RELEASE_RESPONSE = 14
    ABORT_REQUEST = 15
    ABORT_PDU = 16
    CONNECTION_CLOSED = 17
    ARTIM_EXPIRED = 18
    INVALID_PDU = 19


class Action(StrEnum):
    """The actions of Tables 9-6 to 9-9."""

    AE_1 = "AE-1"
    AE_2 = "AE-2"
    AE_3 = "AE-3"
    AE_4 = "AE-4"
    AE_5 = "AE-5"
    AE_6 = "AE-6"
    AE_7 = "AE-7"
    AE_8 = "AE-8"
    DT_1 = "DT-1"
    DT_2 = "DT-2"
    AR_1 = "AR-1"
    AR_2 = "AR-2"
    AR_3 = "AR-3"
    AR_4 = "AR-4"
    AR_5 = "AR-5"
    AR_6 = "AR-6"
    AR_7 = "AR-7"
    AR_8 = "AR-8"
    AR_9 = "AR-9"
    AR_10 = "AR-10"
    AA_1 = "AA-1"
    AA_2 = "AA-2"
    AA_3 = "AA-3"
    AA_4 = "AA-4"
    AA_5 = "AA-5"
    AA_6 = "AA-6"
    AA_7 = "AA-7"
    AA_8 = "AA-8"


# A row per event, a column per state from Sta1; "-" is what the standard leaves empty: it can't happen there.
_ROWS = """
 1  AE-1    -     -     -     -     -     -     -     -     -     -     -     -
 2    -     -     -   AE-2    -     -     -     -     -     -     -     -     -
 3    -   AA-1  AA-8    -   AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
 4    -   AA-1  AA-8    -   AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
 5  AE-5    -     -     -     -     -     -     -     -     -     -     -     -
 6    -   AE-6  AA-8    -   AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
 7    -     -   AE-7    -     -     -     -     -     -     -     -     -     -
 8    -     -   AE-8    -     -     -     -     -     -     -     -     -     -
 9    -     -     -     -     -   DT-1    -   AR-7    -     -     -     -     -
10    -   AA-1  AA-8    -   AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
11    -     -     -     -     -   AR-1    -     -     -     -     -     -     -
12    -   AA-1  AA-8    -   AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
13    -   AA-1  AA-8    -   AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
14    -     -     -     -     -     -     -   AR-4  AR-9    -     -   AR-4    -
15    -     -   AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1    -
16    -   AA-2  AA-3    -   AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
17    -   AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
18    -   AA-2    -     -     -     -     -     -     -     -     -     -   AA-2
19    -   AA-1  AA-8    -   AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""

TABLE: dict[tuple[State, Event], Action] = {
    (State(column), Event(int(cells[0]))): Action(cell)
    for cells in map(str.split, _ROWS.split("\n")[1:-1])
    for column, cell in enumerate(cells[1:], start=1)
    if cell != "-"
}
"""Table 9-10: what is to be done when an event happens in a state; a pair that isn't in it can't happen."""

# AE-6 and AR-8 lead to one of two states, so the action says which.
NEXT: dict[Action, State] = {
    Action.AE_1: State.AWAITING_CONNECTION,
    Action.AE_2: State.AWAITING_ACCEPTANCE,
    Action.AE_3: State.ESTABLISHED,
    Action.AE_4: State.IDLE,
    Action.AE_5: State.AWAITING_REQUEST,
    Action.AE_7: State.ESTABLISHED,
    Action.AE_8: State.AWAITING_CLOSE,
    Action.DT_1: State.ESTABLISHED,
    Action.DT_2: State.ESTABLISHED,
    Action.AR_1: State.AWAITING_RELEASE,
    Action.AR_2: State.AWAITING_LOCAL_RELEASE,
    Action.AR_3: State.IDLE,
    Action.AR_4: State.AWAITING_CLOSE,
    Action.AR_5: State.IDLE,
    Action.AR_6: State.AWAITING_RELEASE,
    Action.AR_7: State.AWAITING_LOCAL_RELEASE,
    Action.AR_9: State.COLLISION_REQUESTOR,
    Action.AR_10: State.COLLISION_ACCEPTOR_LOCAL,
    Action.AA_1: State.AWAITING_CLOSE,
    Action.AA_2: State.IDLE,
    Action.AA_3: State.IDLE,
    Action.AA_4: State.IDLE,
    Action.AA_5: State.IDLE,
    Action.AA_6: State.AWAITING_CLOSE,
    Action.AA_7: State.AWAITING_CLOSE,
    Action.AA_8: State.AWAITING_CLOSE,
}
"""The state after an action, as far as one action has one (Tables 9-6 to 9-9)."""
