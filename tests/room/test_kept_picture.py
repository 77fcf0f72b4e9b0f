"""The picture of a large fleet is kept for the next first paint: it shows what is journalled since, says how old the rest of it is, and is
never for longer than until the journal is read."""

import binascii
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import BETWEEN, ROUTER
from quarterdeck.rollouts.picture.fleet import Picture, is_of, take_picture
from quarterdeck.rollouts.picture.hosts import HostsSeen
from quarterdeck.tui.room import fleet_cache
from quarterdeck.tui.room.desk import Desk
from quarterdeck.tui.room.first_paint import Wishes, screen_text
from quarterdeck.tui.room.fleet_cache import remember
from quarterdeck.tui.room.known_picture import NEWS, READ_ONE_BY_ONE, Recalled, keep, picture_path, recall
from tests.cli.qd_command import OPERATOR, Qd
from tests.room.acme import NOW
from tests.room.conftest import MakeAcme
from tests.room.routed import SHOP, fill_routed, fleet_text
from tests.room.seen import until
from tests.room.terminal import Terminal

API, WEB = "production/api", "production/web"


@pytest.fixture(autouse=True)
def every_fleet_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_cache, "KEPT", 1)
    monkeypatch.setattr(fleet_cache, "LARGE", 1)


def variables(qd: Qd) -> dict[str, str]:
    return {"HOME": str(qd.directory / "home"), "XDG_CACHE_HOME": str(qd.directory / "cache"), "TERM": "xterm-256color"}


def kept(qd: Qd) -> Picture:
    """As it is taken now, and written down."""
    fleet = load_fleet(qd.fleet_file)
    with qd.journal() as journal:
        picture = take_picture(fleet, journal)
        keep(qd.fleet_file, picture, journal.head()[1], variables(qd))
    return picture


def recalled(qd: Qd) -> Recalled | None:
    with qd.journal() as journal:
        return recall(load_fleet(qd.fleet_file), qd.fleet_file, journal, variables(qd))


def observed(qd: Qd, target: str, host: str, time: str) -> None:
    with qd.journal() as journal:
        known = {one.host: one for one in journal.observations(target)}[host]
        journal.observe([msgspec.structs.replace(known, time=time)])


def test_what_is_kept_is_the_picture(acme: Qd) -> None:
    picture = kept(acme)
    found = recalled(acme)
    assert found is not None
    assert found.picture == picture
    assert is_of(found.picture, load_fleet(acme.fleet_file))
    assert picture_path(acme.fleet_file, variables(acme)).stat().st_mode & 0o777 == 0o600
    resting = [seen for seen in picture.targets.values() if seen.moving is None]
    assert found.newest == max(seen.newest for seen in resting)


def test_what_was_journalled_since_is_in_it_and_what_hosts_said_since_is_not(acme: Qd) -> None:
    before = kept(acme)
    later = "2027-01-01T00:00:00.000Z"
    host = before.targets[WEB].hosts[0].host
    observed(acme, WEB, host, later)
    with acme.journal() as journal:
        journal.note("since", "staging/api")
    found = recalled(acme)
    assert found is not None
    assert found.picture.head > before.head
    assert found.picture.targets[WEB] == before.targets[WEB]
    assert found.newest < later  # and the age that is shown is that of what is shown
    observed(acme, "staging/api", before.targets["staging/api"].hosts[0].host, later)
    again = recalled(acme)
    assert again is not None
    assert again.picture.targets["staging/api"].newest == later  # it is read anew, as something was journalled about it
    assert again.newest < later
    assert again.picture.around.looked == 0  # no header calls it live


@pytest.mark.parametrize("host", ["app-1", ROUTER])
def test_of_a_fleet_that_is_not_large_what_hosts_and_routers_said_since_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Seen to fail with either of the two times of ``Journal.newest`` left out."""
    monkeypatch.setattr(fleet_cache, "LARGE", 4000)
    file, state = tmp_path / "fleet.yml", tmp_path / "state"
    file.write_text(fleet_text(state))
    fill_routed(state)
    fleet, environment = load_fleet(file), {"HOME": str(tmp_path)}
    with Journal.open(state, operator=OPERATOR) as journal:
        before = take_picture(fleet, journal)
        keep(file, before, journal.head()[1], environment)
        assert recall(fleet, file, journal, environment) is not None
        known = journal.router_observation(SHOP) if host == ROUTER else journal.observations(SHOP)[0]
        assert known is not None
        journal.observe([msgspec.structs.replace(known, time="2027-01-01T00:00:00.000Z", error="is away")])
        found = recall(fleet, file, journal, environment)
        whole = take_picture(fleet, journal)
    assert found is not None
    assert found.picture.targets[SHOP] == whole.targets[SHOP] != before.targets[SHOP]
    assert found.picture.targets == whole.targets
    assert found.newest == max(seen.newest for seen in whole.targets.values())


def test_the_desk_makes_the_whole_picture_of_it(acme: Qd) -> None:
    before = kept(acme)
    observed(acme, WEB, before.targets[WEB].hosts[0].host, "2027-01-01T00:00:00.000Z")
    found = recalled(acme)
    assert found is not None
    fleet = load_fleet(acme.fleet_file)
    desk = Desk(fleet, OPERATOR, read_only=True, tell=lambda _news: None, known=found.picture)
    with acme.journal() as journal:
        assert desk._brought_up(journal) == take_picture(fleet, journal) != found.picture


def _another_journal(qd: Qd) -> None:
    """One with as many events, as after a restored backup."""
    with qd.journal() as journal:
        head = journal.head()[0]
        journal._connection.execute("UPDATE event SET hash = ? WHERE seq = ?", ("0" * 64, head))


def _a_shorter_journal(qd: Qd) -> None:
    with qd.journal() as journal:
        journal._connection.execute("DELETE FROM event WHERE seq = ?", (journal.head()[0],))


def _too_much_news(qd: Qd) -> None:
    with qd.journal() as journal:
        for number in range(NEWS):
            journal.note(str(number))


def _others_may_read(qd: Qd) -> None:
    picture_path(qd.fleet_file, variables(qd)).chmod(0o640)


def _cut(qd: Qd) -> None:
    path = picture_path(qd.fleet_file, variables(qd))
    path.write_bytes(path.read_bytes()[:-10])


def _another_shape(qd: Qd) -> None:
    data = msgspec.msgpack.encode([1, "acme", "x"])
    picture_path(qd.fleet_file, variables(qd)).write_bytes(binascii.crc32(data).to_bytes(4) + data)


def _another_program(qd: Qd) -> None:
    path = picture_path(qd.fleet_file, variables(qd))
    body = msgspec.msgpack.decode(path.read_bytes()[4:])
    data = msgspec.msgpack.encode([body[0] + "1", *body[1:]])
    path.write_bytes(binascii.crc32(data).to_bytes(4) + data)


def _one_byte_is_another(qd: Qd) -> None:
    path = picture_path(qd.fleet_file, variables(qd))
    path.write_bytes(path.read_bytes().replace(b"web-", b"wob-", 1))


def _a_link(qd: Qd) -> None:
    path = picture_path(qd.fleet_file, variables(qd))
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    "spoil",
    [
        _another_journal,
        _a_shorter_journal,
        _too_much_news,
        _others_may_read,
        _cut,
        _another_shape,
        _another_program,
        _one_byte_is_another,
        _a_link,
    ],
)
def test_one_that_can_not_be_trusted_is_none(acme: Qd, spoil: Callable[[Qd], None]) -> None:
    kept(acme)
    assert recalled(acme) is not None
    spoil(acme)
    assert recalled(acme) is None


def test_a_target_whose_hosts_are_others_now_is_read_anew(acme: Qd) -> None:
    kept(acme)
    text = acme.fleet_file.read_text()
    acme.fleet_file.write_text(re.sub(r"(\n  production: .*hosts: \[)[^,]+, ", r"\1", text))
    fleet = load_fleet(acme.fleet_file)
    assert acme.fleet_file.read_text() != text
    found = recalled(acme)
    with acme.journal() as journal:
        assert found is not None
        assert found.picture == take_picture(fleet, journal)


def test_more_targets_than_are_read_one_by_one_are_all_read_anew(acme: Qd) -> None:
    """Counted in targets that are not in it."""
    picture = kept(acme)
    assert len(picture.targets) <= READ_ONE_BY_ONE
    fleet = load_fleet(acme.fleet_file)
    first = next(iter(fleet.targets.values()))
    many = {f"{first.environment}/extra-{n}": first for n in range(READ_ONE_BY_ONE + 1)}
    with acme.journal() as journal:
        more = msgspec.structs.replace(fleet, targets={**fleet.targets, **many})
        assert recall(more, acme.fleet_file, journal, variables(acme)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda hosts: {"of": (7,) * len(hosts), "kinds": hosts.kinds, "times": BETWEEN.join(hosts.times())},
        lambda hosts: {"of": hosts.of, "kinds": hosts.kinds, "times": BETWEEN * 9},
        lambda hosts: {"of": hosts.of, "kinds": (), "times": BETWEEN.join(hosts.times())},
    ],
)
def test_a_target_that_does_not_fit_together_is_read_anew(
    acme: Qd, damage: Callable[[HostsSeen], dict[str, object]]
) -> None:
    """The file is whole, and yet no room has written it."""
    picture = kept(acme)
    path = picture_path(acme.fleet_file, variables(acme))
    body = msgspec.msgpack.decode(path.read_bytes()[4:])
    for target in body[5]:
        hosts = picture.targets[target[0]["target"]].hosts
        assert isinstance(hosts, HostsSeen)
        odd = damage(hosts)
        target[2:5] = [msgspec.to_builtins(odd["kinds"]), odd["of"], odd["times"]]
    data = msgspec.msgpack.encode(body)
    path.write_bytes(binascii.crc32(data).to_bytes(4) + data)
    found = recalled(acme)
    assert found is not None
    assert found.picture == picture
    assert found.newest == ""  # nothing of the file is in it


def test_the_first_paint_says_how_old_it_is(acme: Qd) -> None:
    import pyte

    remember(load_fleet(acme.fleet_file), "dark", variables(acme))
    before = kept(acme)
    observed(acme, WEB, before.targets[WEB].hosts[0].host, NOW.isoformat()[:19] + ".000Z")
    late = datetime.fromisoformat("2026-11-24T23:59:59+00:00")
    text = screen_text(Wishes(str(acme.fleet_file), target=API), variables(acme), 120, 35, late)
    screen = pyte.Screen(120, 35)
    pyte.Stream(screen).feed(text)
    assert re.search(r"LAST KNOWN \d+h", "\n".join(screen.display))


async def test_the_room_keeps_what_the_journal_told_it_and_nothing_before(
    acme: Qd, make_acme: MakeAcme, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(acme).items():
        monkeypatch.setenv(name, value)
    room = make_acme(target=API)
    room.keep_picture()
    assert not picture_path(acme.fleet_file).exists()
    async with room.run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: bool(room.recent), "the journal")
        room.keep_picture()
        found = recalled(acme)
        assert found is not None
        assert found.picture == msgspec.structs.replace(room.picture, around=found.picture.around)


def test_a_small_fleet_is_read_and_not_kept(acme: Qd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_cache, "KEPT", 400)
    environment = acme.environ(variables(acme))
    with Terminal(acme.command("--fleet", str(acme.fleet_file), API), environment=environment) as terminal:
        terminal.wait_for("CACHED")
        terminal.send("Q")
        assert terminal.wait_ended() == 0
    files = {path.name for path in Path(environment["XDG_CACHE_HOME"], "quarterdeck").iterdir()}
    assert len(files) == 1
