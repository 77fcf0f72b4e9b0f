"""`qd env diff`: what two environments declare differently, by key; secrets by reference only; and what runs in each by the journal."""

import pytest

from tests.cli.qd_command import Qd

FLEET = """\
fleet: acme
state: {state}
hosts:
  stg-1: {{ssh: "deploy@127.0.0.1:1"}}
  web-1: {{ssh: "deploy@127.0.0.1:2"}}
  web-2: {{ssh: "deploy@127.0.0.1:3"}}
environments:
  staging: {{hosts: [stg-1], env: {{LOG: debug, BOTH: same}}, secrets: {{TOKEN: {{env: STG_TOKEN}}, SAME: {{env: SAME}}}}}}
  production:
    hosts: [web-1, web-2]
    after: staging
    soak: 2h
    freezes: [{{from: Fri 16:00, to: Mon 08:00, zone: Europe/Berlin}}]
    env: {{LOG: info, BOTH: same}}
    secrets: {{TOKEN: {{env: PRD_TOKEN}}, DATABASE_URL: {{command: "vault kv get db"}}, SAME: {{env: SAME}}}}
services:
  api:
    artifact: {{tarball: "/srv/artifacts/api-{{version}}.tar.gz"}}
    path: /srv/{{environment}}/api
    commands: {{start: bin/start, stop: bin/stop}}
    files: {{etc/api.yml: {{content: "level: info\\n"}}}}
    environments:
      staging: {{strategy: {{recreate: {{}}}}}}
      production:
        files: {{etc/api.yml: {{content: "level: warn\\n"}}}}
        health: {{http: {{port: 8080}}}}
        strategy: {{canary: {{steps: [{{set_weight: 50}}, {{pause: 5m}}]}}}}
  batch:
    artifact: {{tarball: "/srv/artifacts/batch-{{version}}.tar.gz"}}
    path: /srv/batch
    commands: {{start: bin/start, stop: bin/stop}}
    environments: {{staging: null}}
"""


@pytest.fixture
def two(filled: Qd) -> Qd:
    """Two environments that differ, on the journal of ``fill``: v2 runs on production/api."""
    filled.fleet_file.write_text(FLEET.format(state=filled.state))
    return filled


def test_keys_that_differ_and_what_runs(two: Qd) -> None:
    found = two.json("env", "diff", "staging", "production")
    assert (found["before"], found["after"], found["same"]) == ("staging", "production", False)
    policy = {change["name"]: (change["before"], change["after"]) for change in found["policy"]}
    assert policy["hosts"] == ("1: stg-1", "2: web-1, web-2")
    assert policy["after"] == (None, "staging")
    assert policy["freezes 1"] == (None, "Fri 16:00 to Mon 08:00 Europe/Berlin")
    api, batch = found["services"]
    assert batch["only_in"] == "production"
    assert api["env"] == [{"name": "LOG", "before": "debug", "after": "info"}]
    assert api["secrets"] == [
        {"name": "DATABASE_URL", "before": None, "after": "command vault kv get db"},
        {"name": "TOKEN", "before": "env STG_TOKEN", "after": "env PRD_TOKEN"},
    ]
    assert api["by_name"] == ["path"]
    assert {"-level: info", "+level: warn"} <= set(api["files"][0]["diff"])
    settings = api["settings"]
    assert {"name": "kind", "before": "recreate", "after": "canary"} in settings["strategy"]
    assert {"name": "step", "before": None, "after": "pause, seconds 300.0"} in settings["strategy"]
    assert settings["hosts"] == [{"name": "count", "before": "1", "after": "2"}]
    assert {"name": "http.port", "before": None, "after": "8080"} in settings["health"]
    assert "path" not in settings
    assert api["runs"]["before"] is None
    assert api["runs"]["after"]["version"] == "v2"
    assert api["runs"]["after"]["by"] == "alice@bastion-2"
    assert api["runs"]["after"]["since"]


def test_for_people_and_one_service(two: Qd) -> None:
    text = two.inside("env", "diff", "staging", "production", "api").stdout
    assert "staging (-) against production (+), as declared\n" in text
    assert "  staging runs nothing that the journal knows of\n  production runs v2-" in text
    assert "+ DATABASE_URL: set in production only (command vault kv get db)" in text
    assert "SAME" not in text
    assert "other only by the environment's name: path" in text
    assert "batch" not in text
    assert "+ soak" not in text  # of one service only what is said of it


def test_the_other_way_round_is_the_mirror(two: Qd) -> None:
    found = two.json("env", "diff", "production", "staging", "api")["services"][0]
    assert found["env"] == [{"name": "LOG", "before": "info", "after": "debug"}]
    assert "- DATABASE_URL: set in production only" in two.inside("env", "diff", "production", "staging").stdout


def test_no_value_of_a_secret_is_read_or_shown(two: Qd) -> None:
    done = two.inside(
        "env", "diff", "staging", "production", environment={"STG_TOKEN": "s3cr3t", "PRD_TOKEN": "s3cr3t"}
    )
    assert "s3cr3t" not in done.stdout + done.stderr
    assert "- TOKEN: env STG_TOKEN\n+ TOKEN: env PRD_TOKEN" in done.stdout


def test_names_that_there_are_not(two: Qd) -> None:
    assert "did you mean production?" in two.inside("env", "diff", "staging", "prodction", status=2).stderr
    assert "did you mean batch?" in two.inside("env", "diff", "staging", "production", "bach", status=2).stderr
    assert "does not differ from itself" in two.inside("env", "diff", "staging", "staging", status=2).stderr


def test_without_a_journal_the_declared_is_compared(fleet: Qd) -> None:
    done = fleet.inside("env", "diff", "staging", "production", "--read-only")
    assert "what runs is not known: there is no journal yet" in done.stdout
    assert "nothing differs" not in done.stdout  # the number of hosts does
    assert not fleet.state.exists()
