"""Runbooks in the fleet file: a Markdown file for a service, which must be there when the file is checked."""

from pathlib import Path

from quarterdeck.config.load import FleetFileErrors, load_fleet

FLEET = """\
fleet: acme
runbooks:
  {service}: {path}
hosts: {{box: {{ssh: box}}}}
environments: {{dev: {{hosts: [box]}}}}
services:
  api: {{artifact: {{tarball: "a-{{version}}.tgz"}}, path: /srv/api, commands: {{start: s, stop: t}}}}
"""


def written(directory: Path, service: str, path: str) -> Path:
    file = directory / "fleet.yml"
    file.write_text(FLEET.format(service=service, path=path))
    return file


def refused(file: Path) -> list[tuple[int, int, str, str | None]]:
    try:
        load_fleet(file)
    except FleetFileErrors as errors:
        return [(p.line, p.column, p.message, p.nearest) for p in errors.problems]
    return []


def test_it_is_found_beside_the_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "api.md").write_text("# api is ill\n")
    fleet = load_fleet(written(tmp_path, "api", "docs/api.md"))
    assert fleet.runbooks == {"api": tmp_path / "docs" / "api.md"}


def test_none_are_needed(tmp_path: Path) -> None:
    file = written(tmp_path, "api", "x")
    file.write_text(
        "\n".join(line for line in file.read_text().splitlines() if "runbooks" not in line and ": x" not in line)
    )
    assert load_fleet(file).runbooks == {}


def test_a_missing_file_is_said_with_its_place(tmp_path: Path) -> None:
    [(line, column, message, _)] = refused(written(tmp_path, "api", "docs/api.md"))
    assert (line, column) == (3, 8)
    assert "there is no file" in message
    assert "docs/api.md" in message


def test_a_directory_and_bytes_are_no_runbook(tmp_path: Path) -> None:
    [(_, _, message, _)] = refused(written(tmp_path, "api", "."))
    assert "is not an ordinary file" in message
    (tmp_path / "api.md").write_bytes(b"\xff\xfe\x00")
    [(_, _, message, _)] = refused(written(tmp_path, "api", "api.md"))
    assert "UTF-8" in message


def test_a_service_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "api.md").write_text("# api\n")
    [(line, column, message, nearest)] = refused(written(tmp_path, "apii", "api.md"))
    assert (line, column, nearest) == (3, 3, "api")
    assert "there is no service `apii`" in message
