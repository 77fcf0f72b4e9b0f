"""A draft as the text of a fleet file, commented as a person would write it. What is to be filled in is marked TO DO."""

from collections.abc import Iterator

from quarterdeck.config.first_file.draft import Draft, FoundHost, FoundService, Told, Waiting
from quarterdeck.config.first_file.yaml_text import block, comment_lines, flow, scalar, with_comment

MARK = "TO DO:"


def text_of(draft: Draft) -> str:
    """The whole file. It holds no secret: readers put references where one was."""
    lines = [
        *comment_lines(f"Written by `qd init` from {', '.join(draft.origins)}. Keep it in git, review it like code.")
    ]
    lines += comment_lines(
        "Every key is explained in docs/fleet-file.md; `qd check` reads it, `qd doctor` looks at the hosts."
    )
    for sentence in draft.to_do:
        lines += comment_lines(f"{MARK} {sentence}")
    lines += [f"fleet: {scalar(draft.fleet)}", "", *_hosts(draft), "", *_environments(draft)]
    if draft.registries:
        lines += ["", "registries:", *block(draft.registries, 2)]
    if draft.services:
        lines += ["", "services:"]
    for number, service in enumerate(draft.services):
        lines += [""] * (number > 0) + list(_service(draft, service))
    for one in draft.waiting:
        lines += ["", *_waiting(draft, one, begins=not draft.services and one is draft.waiting[0])]
    return "\n".join(lines) + "\n"


def _hosts(draft: Draft) -> list[str]:
    lines = ["hosts:"]
    widest = max((len(host.name) for host in draft.hosts), default=0)
    for host in draft.hosts:
        address = (
            {"ssh": host.ssh} if host.ssh else {"docker": host.docker} if host.docker else {"swarm": _managers(host)}
        )
        head = f"  {scalar(host.name)}:{' ' * (min(widest, 20) - len(host.name))} {flow(address)}"
        # The comment is somebody else's text: none of it may end the line.
        comment = "".join(comment_lines(host.comment)[:1]).removeprefix("# ")
        lines.append(with_comment(head, comment))
    return lines


def _managers(host: FoundHost) -> str | list[str]:
    return host.swarm[0] if len(host.swarm) == 1 else list(host.swarm)


def _environments(draft: Draft) -> list[str]:
    lines = ["environments:"]
    for name, hosts in draft.environments.items():
        if len(hosts) > 8:
            lines += [f"  {scalar(name)}:", "    hosts:", *(f"      - {scalar(host)}" for host in hosts)]
        else:
            lines.append(f"  {scalar(name)}: {{hosts: {flow(hosts)}}}")
    if len(draft.environments) == 1:
        lines += comment_lines(
            "More of them one after the other: staging: {hosts: […]}, production: {hosts: […], after: staging}", 2
        )
    return lines


def _service(draft: Draft, service: FoundService) -> Iterator[str]:
    if service.comment:
        yield from comment_lines(service.comment, 2)
    yield f"  {scalar(service.name)}:"
    for sentence in service.to_do:
        yield from comment_lines(f"{MARK} {sentence}", 4)
    yield from block(keys_of(draft, service), 4)


def keys_of(draft: Draft, service: FoundService) -> dict[str, object]:
    """With what is different in an environment; null for those where it is not."""
    keys = dict(service.keys)
    if service.environments is not None:
        elsewhere = {name: None for name in draft.environments if name not in service.environments}
        given = keys.pop("environments", {})
        merged = {**(given.value if isinstance(given, Told) else given), **elsewhere}
        if merged:
            keys["environments"] = merged
    return keys


def _waiting(draft: Draft, waiting: Waiting, *, begins: bool) -> Iterator[str]:
    """Every line a comment; without the first two characters it is what would stand there."""
    yield from comment_lines(f"{MARK} {waiting.service.name} of {waiting.service.source} can't be used as it is:", 2)
    for reason in waiting.why:
        yield from comment_lines(f"  - {reason}", 2)
    yield from comment_lines("When that is put right, take the # out:", 2)
    if begins:
        yield "# services:"
    for line in _service(draft, waiting.service):
        for part in line.split("\n"):
            yield f"# {part}"
