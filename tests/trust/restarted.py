"""What promise 26 asks of a rollout in whose middle a server was restarted."""

from collections.abc import Sequence

from quarterdeck.history.records import Rollout, RolloutState
from tests.driver import Driver
from tests.trust.recording import Recorder

Versions = Sequence[str | None]
"""What runs, host by host."""


def is_done(
    driver: Driver, ended: Rollout, wanted: Versions, was: Versions, names: Sequence[str], kept: Recorder
) -> bool:
    """Whether it succeeded. Fails where the journal says anything that the hosts do not: success only where it runs everywhere, taken back
    only where all is as it was, else the host is named."""
    running = driver.running()
    success = ended.state is RolloutState.SUCCEEDED
    kept.none("called success that were none", success and running != wanted)
    match ended.state:
        case RolloutState.SUCCEEDED:
            assert running == wanted, ended.outcome
        case RolloutState.ROLLED_BACK | RolloutState.CANCELLED:
            assert running == was, ended.outcome
        case _:
            assert ended.state is RolloutState.FAILED
            assert any(name in ended.outcome for name in names), ended.outcome
    return success
