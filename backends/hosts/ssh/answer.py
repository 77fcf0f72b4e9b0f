"""Reads what a script answered and turns refusals into this program's errors. Never guesses: no answer is a failure."""

import msgspec

from quarterdeck.backends.errors import (
    ArtifactRefused,
    BackendError,
    CommandFailed,
    CommandTimedOut,
    Fenced,
    HostLockBusy,
    NoSpace,
    NotPermitted,
)
from quarterdeck.backends.numbers import number_in
from quarterdeck.backends.text_cleaning import clean

_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_READ_ONLY = ("Read-only file system",)
_UNCHANGED = "Nothing was changed there"
_FORBIDDEN = ("Permission denied", "Operation not permitted")


class Answer(msgspec.Struct, frozen=True):
    """``words`` in the order they were said: (word, the rest of its line). ``errors``: the standard error, cleaned.

    ``by_hand``: the command that goes the same way to the host, for an advice."""

    words: tuple[tuple[str, str], ...]
    output: str
    errors: str
    exit_status: int | None
    noise: str = ""
    by_hand: str = ""

    def one(self, word: str) -> str | None:
        """The last thing said of ``word``."""
        for said, rest in reversed(self.words):
            if said == word:
                return rest
        return None

    def every(self, word: str) -> list[str]:
        return [rest for said, rest in self.words if said == word]

    def has(self, word: str) -> bool:
        return any(said == word for said, _ in self.words)


def senseless(host: str, action: str, answer: Answer, said: str) -> CommandFailed:
    """The error for an answer of which ``said`` can't be what the script says: something else answered, or changed it on its way."""
    return CommandFailed(
        host,
        action,
        f"its answer makes no sense: {said[:80]!r}",
        exit_status=answer.exit_status,
        output=answer.output,
        left="What the host did is not known",
        advice="look at what else its shell prints" + (f" with: {answer.by_hand}" if answer.by_hand else ""),
    )


def parse(mark: str, stdout: bytes, stderr: bytes, exit_status: int | None, by_hand: str = "") -> Answer:
    """Lines that begin with ``mark`` are the answer; between ``output`` and ``end-output`` lie the lines of a command."""
    prefix = f"{mark} "
    words: list[tuple[str, str]] = []
    output: list[str] = []
    noise: list[str] = []
    within = False
    for line in stdout.decode("utf-8", "replace").split("\n"):
        if line.startswith(prefix):
            word, _, rest = line[len(prefix) :].partition(" ")
            if word in ("output", "end-output"):
                within = word == "output"
            else:
                words.append((word, rest))
        elif within:
            output.append(line)
        elif line:
            noise.append(line)
    text = "\n".join(output).removesuffix("\n")
    return Answer(
        tuple(words),
        clean(text),
        clean(stderr.decode("utf-8", "replace")).strip(),
        exit_status,
        clean("\n".join(noise)),
        by_hand,
    )


def _by_text(host: str, action: str, text: str, errors: str) -> BackendError | None:
    """What the operating system said, where it is one of the three that have a type of their own."""
    line = next(
        (line for line in reversed(errors.splitlines()) if any(m in line for m in _FULL + _READ_ONLY + _FORBIDDEN)), ""
    )
    detail = f" ({line})" if line else ""
    if any(message in errors for message in _FULL):
        return NoSpace(
            host,
            action,
            f"the disk is full: {text}{detail}",
            advice="make room on the host, then try again; qd removes old releases itself",
        )
    if any(message in errors for message in _READ_ONLY):
        return NoSpace(
            host, action, f"the file system is read-only: {text}{detail}", advice="see the host's kernel log for why"
        )
    if any(message in errors for message in _FORBIDDEN):
        return NotPermitted(host, action, f"{text}{detail}", advice="give the login user the right to write there")
    return None


def _refusal(host: str, action: str, kind: str, text: str, answer: Answer) -> BackendError:
    again = ". This is the outcome recorded when it ran" if answer.has("replayed") else ""
    match kind:
        case "missing":
            return CommandFailed(
                host,
                action,
                f"{text} is missing on the host",
                exit_status=answer.exit_status,
                advice=f"install {text} there",
            )
        case "damaged":
            return CommandFailed(
                host,
                action,
                text,
                exit_status=answer.exit_status,
                left=_UNCHANGED,
                advice="deploy the release again: what lies there is replaced",
            )
        case "nothing":
            return CommandFailed(
                host,
                action,
                f"no release is current at {text}",
                exit_status=answer.exit_status,
                left=_UNCHANGED,
                advice="deploy one there",
            )
        case "absent":
            return CommandFailed(
                host,
                action,
                f"release {text} is not on the host",
                exit_status=answer.exit_status,
                left=_UNCHANGED,
                advice="try again: what a host lacks is sent to it before it is switched",
            )
        case "not-beside":
            return CommandFailed(
                host,
                action,
                f"release {text} does not run beside what is to be retired",
                exit_status=None,
                left=_UNCHANGED,
                advice="switch to it first",
            )
        case "space":
            free, _, wanted = text.partition(" ")
            return NoSpace(
                host,
                action,
                f"{_megabytes(free)} are free and {_megabytes(wanted)} are needed",
                left=_UNCHANGED,
                advice="make room on the host",
            )
        case "checksum":
            return ArtifactRefused(
                host,
                action,
                f"what arrived has the SHA-256 {text}, not the artifact's",
                left=_UNCHANGED,
                advice="try again: the file or the way to the host is damaged",
            )
        case "archive":
            return _by_text(host, action, "unpacking failed", answer.errors) or ArtifactRefused(
                host, action, f"the archive can't be unpacked: {clean(text)}", left=_UNCHANGED
            )
        case "sudo":
            return NotPermitted(
                host,
                action,
                f"{text}: the login user may not do this",
                advice="allow exactly this command in /etc/sudoers.d (NOPASSWD), or use a user unit (systemctl --user)",
            )
        case "timeout":
            status, _, rest = text.partition(" ")
            seconds, _, command = rest.partition(" ")
            word = (
                f"{command} was ended after {seconds} s"
                if status == "124"
                else f"{command} was killed (status {status}, limit {seconds} s)"
            )
            return CommandTimedOut(host, action, word + again, exit_status=number_in(status), output=answer.output)
        case "command":
            status, _, command = text.partition(" ")
            found = _by_text(host, action, f"{command} failed", answer.errors)
            tail = answer.output.strip().splitlines()[-1:]
            said = f": {tail[0]}" if tail else ""
            return found or CommandFailed(
                host,
                action,
                f"{command} ended with status {status}{said}{again}",
                exit_status=number_in(status),
                output=answer.output,
            )
        case "stopped":
            return CommandFailed(
                host,
                action,
                f"the service does not run after it was started ({clean(text).strip() or 'its status command says so'}){again}",
                exit_status=answer.exit_status,
                output=answer.output,
            )
        case "still":
            return CommandFailed(
                host,
                action,
                f"the service still runs: {text}{again}",
                exit_status=answer.exit_status,
                output=answer.output,
            )
        case _:
            return _by_text(host, action, text, answer.errors) or CommandFailed(
                host,
                action,
                text + (f": {answer.errors.splitlines()[-1]}" if answer.errors else "") + again,
                exit_status=answer.exit_status,
                output=answer.output or answer.errors,
            )


def _megabytes(kibibytes: str) -> str:
    amount = number_in(kibibytes)
    return f"{amount / 1024:.1f} MiB" if amount is not None else kibibytes


def require(host: str, action: str, answer: Answer, *, epoch: int = 0) -> Answer:
    """``answer`` when the script ran to its end and refused nothing. Raises the ``BackendError`` that says what happened."""
    error = _error(host, action, answer, epoch)
    if error is None:
        return answer
    # The script says this in its last line but one: an answer that is cut short never claims it.
    if answer.has("untouched") and answer.has("done"):
        error.untouched = True
        error.left = error.left or _UNCHANGED
    raise error


def _error(host: str, action: str, answer: Answer, epoch: int) -> BackendError | None:
    fenced = answer.one("fenced")
    if fenced is not None:
        text, _, holder = fenced.partition(" ")
        seen = number_in(text)
        if seen is None:
            return senseless(host, action, answer, f"fenced {fenced}")
        half_way, now = answer.has("half-way"), answer.one("current")
        left = ""
        if half_way and now is not None:
            left = f"What it had begun was ended; current points to {now or 'nothing'}"
        return Fenced(host, action, epoch=epoch, seen=seen, holder=holder, half_way=half_way, left=left)
    busy = answer.one("busy")
    if busy is not None:
        return HostLockBusy(
            host,
            action,
            "another command holds the target's lock" + (f": {busy}" if busy else ""),
            left=_UNCHANGED,
            advice="wait for it to end, then try again",
        )
    error = answer.one("error")
    if error is not None:
        kind, _, text = error.partition(" ")
        return _refusal(host, action, kind, text, answer)
    if not answer.has("done"):
        by_text = _by_text(host, action, "the command broke off", answer.errors)
        if by_text is not None:
            return by_text
        if answer.exit_status is None:
            return CommandFailed(
                host,
                action,
                "the command ended without an exit status",
                exit_status=None,
                output=answer.output,
                left="What it did until then is not known",
            )
        said = answer.errors or answer.noise
        return CommandFailed(
            host,
            action,
            f"the host's shell did not run the command (status {answer.exit_status})"
            + (f": {said.splitlines()[-1]}" if said else ""),
            exit_status=answer.exit_status,
            output=said,
            advice="check the login user's shell" + (f" with: {answer.by_hand}" if answer.by_hand else ""),
        )
    return None
