"""The unix groups of an operator. Identity on a shared bastion is the kernel's word: the uid, never a name that
somebody typed."""

import grp
import os
import pwd


def groups_of(uid: int) -> frozenset[str]:
    """Names of the groups that ``uid`` is a member of, by its account and the group database; empty for an unknown
    uid."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    names = set()
    for gid in os.getgrouplist(account.pw_name, account.pw_gid):
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return frozenset(names)
