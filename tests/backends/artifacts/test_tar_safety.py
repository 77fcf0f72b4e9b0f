"""A tarball that could write, link or run outside the release's directory is refused before it is unpacked, and so is a broken one."""

import asyncio
import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import ArchiveSummary, check, check_archive
from quarterdeck.backends.artifacts.compression import BadArchive, Stopped, TarStream
from quarterdeck.backends.errors import ArtifactRefused, BackendError, Unreachable
from tests.backends.artifacts.building import Mode, member, write_tarball

DIR, SYM, LNK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD = [
    (member("./", kind=DIR, mode=0o755), b""),
    (member("./bin", kind=DIR, mode=0o2755), b""),
    (member("./bin/run", b"#!/bin/sh\n", mode=0o755), b"#!/bin/sh\n"),
    (member("./bin/also", kind=LNK, link="./bin/run"), b""),
    (member("./lib/deep/er/file", b"x" * 1000), b"x" * 1000),
    (member("./lib/link", kind=SYM, link="../bin/./run"), b""),
    (member("./lib/up", kind=SYM, link="deep/../../bin"), b""),
    (member("./dangling", kind=SYM, link="not/there"), b""),
    (member("./..data/...", b""), b""),
    (member("./ünïcode and space", b""), b""),
    (member("./" + "long/" * 60 + "name", b"y"), b"y"),
    (member("./conf/qd.env", b""), b""),
]


def stream(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


def saved(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "archive"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("mode", "name"), [("w", "none"), ("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_an_honest_archive_passes_in_every_compression(tmp_path: Path, mode: Mode, name: str) -> None:
    path = write_tarball(tmp_path / "archive", GOOD, mode)
    assert check(path) == ArchiveSummary(12, 1011, ("bin/run",), name)


@pytest.mark.parametrize(
    "options", [["--format=gnu"], ["--format=pax"], ["--format=ustar"], ["--format=gnu", "--sparse"]]
)
def test_what_the_real_tar_writes_passes(tmp_path: Path, options: list[str]) -> None:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/run").write_text("#!/bin/sh\n")
    (tree / "bin/run").chmod(0o755)
    (tree / "bin/link").symlink_to("run")
    os.link(tree / "bin/run", tree / "bin/hard")
    with (tree / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"end")
    subprocess.run(["tar", *options, "-czf", tmp_path / "archive", "-C", tree, "."], check=True, timeout=60)
    summary = check(tmp_path / "archive")
    assert (summary.members, summary.unpacked_bytes) == (6, 3_000_013)
    assert len(summary.executables) == 1


def test_several_compressed_streams_in_one_file_are_one_archive(tmp_path: Path) -> None:
    data = stream(GOOD)
    for compress in (gzip.compress, bz2.compress, lzma.compress):
        packed = b"".join(compress(data[start : start + 4096]) for start in range(0, len(data), 4096))
        assert check(saved(tmp_path, packed)).members == 12
        assert check(saved(tmp_path, packed + b"\0" * 1024)).members == 12


REFUSED = {
    "absolute": (member("/etc/cron.d/x"), "absolute"),
    "parent": (member("../x"), "has .. in it"),
    "parent inside": (member("a/../../x"), "has .. in it"),
    "parent that stays": (member("a/../x"), "has .. in it"),
    "link absolute": (member("x", kind=SYM, link="/etc/passwd"), "leads out"),
    "link out": (member("a/x", kind=SYM, link="../../x"), "leads out"),
    "link out at the end": (member("a/x", kind=SYM, link="b/c/../../../.."), "leads out"),
    "link to itself": (member("x", kind=SYM, link="x"), "leads out"),
    "link to nothing": (member("x", kind=SYM, link=""), "leads to nothing"),
    "hard link out": (member("x", kind=LNK, link="../x"), "has .. in it"),
    "hard link absolute": (member("x", kind=LNK, link="/etc/shadow"), "absolute"),
    "hard link to what is not there": (member("x", kind=LNK, link="qd-other"), "no file before it"),
    "hard link with content": (member("x", b"content", kind=LNK, link="bin/run"), "size makes no sense"),
    "directory with content": (member("x", b"content", kind=DIR), "size makes no sense"),
    "character device": (member("x", kind=tarfile.CHRTYPE), "member 'x' is a device"),
    "block device": (member("x", kind=tarfile.BLKTYPE), "device"),
    "pipe": (member("x", kind=tarfile.FIFOTYPE), "pipe"),
    "unknown kind": (member("x", kind=b"Z"), "no file, directory or link"),
    "setuid": (member("x", mode=0o4755), "setuid"),
    "setgid": (member("x", mode=0o2755), "setgid"),
    "newline": (member("a\nb"), "control character"),
    "escape": (member("a\x1b[2Jb"), "control character"),
    "newline in a link": (member("x", kind=SYM, link="a\nb"), "control character"),
    "our environment": (member("qd.env"), "reserved"),
    "our secrets": (member("./qd.secrets.env"), "reserved"),
    "our manifest": (member("QD.Manifest.json"), "reserved"),
    "our name as a directory": (member("qd.env/x"), "reserved"),
    "name too long": (member("x" * 256), "too long"),
    "path too long": (member("x/" * 2048 + "x"), "too long"),
    "file without a name": (member("./"), "names no file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_member_that_is_not_safe_is_refused_by_name(tmp_path: Path, case: str) -> None:
    info, problem = REFUSED[case]
    path = write_tarball(tmp_path / "archive", [*GOOD[:3], (info, b"content" * (info.size > 0))])
    with pytest.raises(ArtifactRefused, match=problem.replace(".", r"\.")) as refused:
        check(path)
    assert "member '" in refused.value.problem
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_nul_that_an_extended_header_hides_is_refused(tmp_path: Path) -> None:
    info = member("x")
    info.pax_headers = {"path": "safe\0/../../x"}
    with pytest.raises(ArtifactRefused, match="control character"):
        check(write_tarball(tmp_path / "archive", [(info, b"")]))


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        # In each: looked at one by one, every link stays inside.
        ([("x/y/s", "../.."), ("t", "x/y/s/..")], "'t': the link to 'x/y/s/..' leads out"),
        ([("t", "x/y/s/.."), ("x/y/s", "../..")], "'t': the link to 'x/y/s/..' leads out"),
        ([("a", "b"), ("b", "a")], "leads out"),
        ([("a", "lib"), ("a/evil", "run")], "'a/evil': its path goes through the link 'a'"),
    ],
)
def test_links_that_lead_out_together_are_refused(tmp_path: Path, links: list[tuple[str, str]], problem: str) -> None:
    members = [(member(name, kind=SYM, link=target), b"") for name, target in links]
    with pytest.raises(ArtifactRefused) as refused:
        check(write_tarball(tmp_path / "archive", members))
    assert problem in str(refused.value)


def test_a_link_that_is_replaced_by_a_directory_later_is_still_not_written_through(tmp_path: Path) -> None:
    members = [
        (member("a", kind=SYM, link="lib"), b""),
        (member("a/file", b"x"), b"x"),
        (member("a", kind=DIR), b""),
    ]
    with pytest.raises(ArtifactRefused, match="goes through the link 'a'"):
        check(write_tarball(tmp_path / "archive", members))


def test_what_unpacks_to_too_much_is_refused_without_unpacking_it(tmp_path: Path) -> None:
    content = b"\0" * 5_000_000
    path = write_tarball(tmp_path / "archive", [(member("big", content), content)])
    assert path.stat().st_size < 10_000
    assert check(path, max_bytes=5_000_000).unpacked_bytes == 5_000_000
    with pytest.raises(ArtifactRefused, match="unpacks to more than 4999999 bytes"):
        check(path, max_bytes=4_999_999)


def test_a_file_that_claims_to_be_larger_than_allowed_is_refused_by_its_header(tmp_path: Path) -> None:
    header = member("big")
    header.size = 9 * 1024**3
    with pytest.raises(ArtifactRefused, match="unpacks to more than 8589934592 bytes"):
        check(saved(tmp_path, gzip.compress(header.tobuf(tarfile.PAX_FORMAT))))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    path = write_tarball(tmp_path / "archive", [(member(f"f{number}"), b"") for number in range(21)])
    assert check(path, max_members=21).members == 21
    with pytest.raises(ArtifactRefused, match="more than 20 members"):
        check(path, max_members=20)


def test_zeros_without_end_behind_the_archive_are_bounded_too(tmp_path: Path) -> None:
    packed = gzip.compress(stream(GOOD) + b"\0" * 30_000_000)
    with pytest.raises(ArtifactRefused, match="unpacks to more than"):
        check(saved(tmp_path, packed), max_bytes=10_000_000, max_members=1000)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    header = member("x", kind=kind)
    header.size = 2 * 1024**3
    with pytest.raises(ArtifactRefused, match="a header in it claims 2147483648 bytes"):
        check(saved(tmp_path, gzip.compress(header.tobuf(tarfile.USTAR_FORMAT))))


def test_a_header_that_leads_backwards_does_not_go_on_for_ever(tmp_path: Path) -> None:
    info = member("x", b"content")
    info.pax_headers = {"size": "-5120"}
    with pytest.raises(ArtifactRefused, match=r"leads backwards|size makes no sense"):
        check(write_tarball(tmp_path / "archive", [*GOOD, (info, b"content")]))


def test_a_stream_is_never_read_backwards(tmp_path: Path) -> None:
    source = TarStream(saved(tmp_path, b"x" * 2000), 10_000)
    source.seek(1000)
    with pytest.raises(BadArchive, match="leads backwards"):
        source.seek(999)
    source.close()


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_was_cut_short_anywhere_is_refused(tmp_path: Path, compress: type[bytes]) -> None:
    content = os.urandom(3000)
    packed = compress(stream([(member("a", content), content), (member("b"), b"")]).rstrip(b"\0") + b"\0" * 1024)
    whole = check(saved(tmp_path, packed))
    assert whole.members == 2
    ends = len(packed) - 1024 * (compress is bytes)
    for length in [*range(0, ends, 97), *range(ends - 16, ends)]:
        with pytest.raises(ArtifactRefused, match=r"cut short|damaged|not a tarball|no file"):
            check(saved(tmp_path, packed[:length]))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_flipped_bit_anywhere_in_a_compressed_archive_is_found(tmp_path: Path, compress: type[bytes]) -> None:
    content = os.urandom(3000)
    packed = compress(stream([(member("a", content), content)]))
    for position in range(20, len(packed), 211):
        broken = bytearray(packed)
        broken[position] ^= 0x10
        with pytest.raises(ArtifactRefused):
            check(saved(tmp_path, bytes(broken)))


def test_members_behind_a_damaged_header_are_not_overlooked(tmp_path: Path) -> None:
    """tarfile ends there, quietly; GNU tar says so, goes on and would unpack what follows."""
    damaged = b"\x01" * 512
    data = stream(GOOD[:3]).rstrip(b"\0")
    data += b"\0" * (-len(data) % 512)
    with pytest.raises(ArtifactRefused, match="a header in it is damaged"):
        check(saved(tmp_path, data + damaged + stream([(member("../evil"), b"")])))


def test_members_behind_the_end_mark_are_not_overlooked(tmp_path: Path) -> None:
    """Some tars take one block of zeros for the end, some want two, some go on when they are told to."""
    first = stream(GOOD[:3]).rstrip(b"\0")
    first += b"\0" * (-len(first) % 512)
    second = stream([(member("../evil"), b"")])
    for zeros in (512, 1024, 10240):
        with pytest.raises(ArtifactRefused, match="something follows its end mark"):
            check(saved(tmp_path, first + b"\0" * zeros + second))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not a tarball"),
        (b"<html>please log in</html>" * 100, "not a tarball"),
        (b"\0" * 10240, "holds no file"),
        (gzip.compress(b"no tar in it" * 100), "not a tarball"),
        (gzip.compress(stream(GOOD)) + b"rubbish", "something else follows"),
        (b"\x28\xb5\x2f\xfd" + b"x" * 1000, "packed with zstd, which is not supported"),
        (b"PK\x03\x04" + b"x" * 1000, "packed with zip, which is not supported"),
    ],
    ids=["empty", "page", "zeros", "packed text", "rubbish behind", "zstd", "zip"],
)
def test_what_is_no_tarball_is_said_to_be_none(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(ArtifactRefused, match=problem):
        check(saved(tmp_path, data))


def test_an_xz_file_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 * 1024 * 1024}]
    compressor = lzma.LZMACompressor(
        format=lzma.FORMAT_XZ, filters=[{**filters[0], "mf": lzma.MF_HC3, "dict_size": 4096}]
    )
    packed = bytearray(compressor.compress(stream(GOOD)) + compressor.flush())
    assert check(saved(tmp_path, bytes(packed))).members == 12
    # The size of the dictionary is one byte of the block's header, which has a checksum of its own.
    header = packed[12 : 12 + (packed[12] + 1) * 4 - 4]
    header[header.index(0x21) + 2] = 38  # 2 GiB
    packed[12 : 12 + len(header)] = header
    import zlib

    packed[12 + len(header) : 16 + len(header)] = zlib.crc32(header).to_bytes(4, "little")
    with pytest.raises(ArtifactRefused, match="needs more memory to unpack than is given"):
        check(saved(tmp_path, bytes(packed)))


def test_a_file_that_can_not_be_read_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="No such file") as failed:
        check(tmp_path / "none")
    assert not isinstance(failed.value, ArtifactRefused)


def test_it_stops_when_nobody_waits_any_more(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        check(write_tarball(tmp_path / "archive", GOOD), stop=stop)


async def test_in_an_event_loop_it_runs_beside_everything_else_and_ends_at_its_deadline(tmp_path: Path) -> None:
    path = write_tarball(tmp_path / "archive", GOOD)
    assert (await check_archive(path)).members == 12
    packed = gzip.compress(stream([(member("zeros", b"\0" * 100_000_000), b"\0" * 100_000_000)]), 1)
    large = saved(tmp_path, packed)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await check_archive(large)
    counting.cancel()
    assert turns > 100
    with pytest.raises(Unreachable, match="not done within"):
        await check_archive(large, deadline=0.0)
