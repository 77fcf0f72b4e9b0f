"""What a step of a plan does. Alone in its file, which loads nothing of ours: the first paint has no time for what makes plans."""

from enum import StrEnum


class Action(StrEnum):
    STAGE = "stage"  # upload, unpack, verify: the running release is not touched
    STOP = "stop"
    SWITCH = "switch"  # rename the link, restart, read back, wait for health
    RETIRE = "retire"  # what has run beside the release until here is stopped, and the release is what is current
    WITHDRAW = "withdraw"  # stop and remove the link: nothing ran here before
    HOOK = "hook"
    PAUSE = "pause"  # for a time, or until somebody promotes
    ANALYSIS = "analysis"  # the new release is measured where it runs
    FLAG = "flag"  # a feature flag is set, put back, or read back
    APPROVAL = "approval"  # until enough people have agreed to going on
    NOTIFY = "notify"  # people are told that it has come here; nothing waits for them
    BAKE = "bake"  # every host is watched for a time, before it counts as success
    SHARE = "share"  # what a slot of the router gets of all requests
    ROUTE = "route"  # which requests go to a slot of the router whatever its share is
    VERIFY = "verify"  # read back and check health once more, when all hosts are done
    FINISH = "finish"  # mark the release good, remove old ones; never fails a rollout
