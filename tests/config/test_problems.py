"""Every mistake is reported at its place, in words that help, together with all others."""

import json
from pathlib import Path

import pytest

from quarterdeck.config.problems import FleetFileErrors, Problem, render, to_values
from tests.config.conftest import Load, Refuse

# A good file; each case replaces one line of it (or adds one at the end), and says where the problem is then.
GOOD = """\
fleet: acme
hosts:
  a: {ssh: deploy@10.0.0.1}
  b: {ssh: b}
environments:
  dev: {hosts: [a]}
  production: {hosts: [a, b], after: dev, soak: 1h, env: {LEVEL: info}, secrets: {KEY: {env: KEY}}}
services:
  api:
    artifact: {tarball: "api-{version}.tgz"}
    path: /srv/{environment}/{service}
    unit: api.service
    health: {http: {port: 80}}
    strategy: rolling
"""
# line number, the line instead, column of the problem, part of the message, nearest
CASES: list[tuple[int, str, int, str, str | None]] = [
    (1, "fleet: Acme", 8, "expected a name", None),
    (1, "fleet: [a]", 8, "found a list", None),
    (1, "fleett: acme", 1, "unknown key `fleett` in a fleet file", "fleet"),
    (1, "fleet: acme\nstate:", 7, "expected the path of a directory, found nothing", None),
    (1, "fleet: acme\nrouters: {edge: {haproxy: {host: lb}}}", 34, "there is no host `lb`", "b"),
    (1, "fleet: acme\nssh: {config: ~/.ssh/config}", 15, "write [~/.ssh/config]", None),
    (1, "fleet: acme\nssh: {known_host: [x]}", 7, "unknown key `known_host`", "known_hosts"),
    (1, "fleet: acme\noperators: {approve: a}", 22, "write [a]", None),
    (1, "fleet: acme\noperators: {view: ['@ops team']}", 20, "expected a unix user or @group", None),
    (3, "  a: {}", 6, "a host needs `ssh`, `docker` or `swarm`", None),
    (3, "  a: {sssh: a}", 7, "unknown key `sssh`", "ssh"),
    (3, "  a: a", 6, "expected a mapping (ssh, docker, swarm, nodes, tls, address, labels), found `a`", None),
    (3, "  a: {ssh: a, docker: 'ssh://a'}", 15, "only one of `ssh`, `docker` or `swarm` may stand in a host", None),
    (3, "  a: {dokcer: 'ssh://a'}", 7, "unknown key `dokcer`", "docker"),
    (3, "  a: {ssh: a, tls: x}", 15, "`tls` is for an engine that is reached over tcp:// only", None),
    (3, "  a: {docker: /var/run/docker.sock}", 15, "it begins with unix://", "unix:///var/run/docker.sock"),
    (3, "  a: {docker: 'unix://run/docker.sock'}", 15, "the absolute path of a socket", "unix:///var/run/docker.sock"),
    (3, "  a: {docker: 'tcp://10.0.0.1'}", 15, "the port is missing", "tcp://10.0.0.1:2376"),
    (3, "  a: {docker: 'https://10.0.0.1:2376'}", 15, "it begins with unix://", "tcp://10.0.0.1:2376"),
    (3, "  a: {docker: 'ssh://a b'}", 15, "expected unix:///path, ssh://", None),
    (3, "  a: {docker: 'ssh://a/'}", 15, "the absolute path of a socket", None),
    (3, "  a: {docker: 'context://a/b'}", 15, "the name of one of Docker's contexts", None),
    (3, "  a: {ssh: -oProxyCommand=id}", 12, "expected a name of your ~/.ssh/config", None),
    (3, "  a: {ssh: ssh://a}", 12, "without ssh://", "a"),
    (3, "  a: {ssh: 'a:70000'}", 12, "a port is a number from 1 to 65535", None),
    (3, "  a: {ssh: 'fe80::1'}", 12, "expected a name of your ~/.ssh/config", None),
    (3, "  a: {ssh: 'a b'}", 12, "expected a name of your ~/.ssh/config", None),
    (3, "  a: {ssh: a, labels: {zone: }}", 30, "expected text, found nothing", None),
    (4, "  a: {ssh: b}", 3, "`a` is here twice; first in line 3", None),
    (4, "  b/c: {ssh: b}", 3, "expected a name", None),
    (6, "  dev: {hosts: [aa]}", 17, "there is no host `aa`", "a"),
    (6, "  dev: {hosts: [a, a]}", 20, "`a` is in this list twice", None),
    (6, "  dev: {hosts: []}", 16, "found an empty list", None),
    (6, "  dev: {hosts: a}", 16, "expected a list of hosts, found `a`: write [a]", None),
    (6, "  dev: {}", 8, "`hosts` is missing in an environment", None),
    (6, "  dev: {hosts: [a], soak: 1h}", 21, "`soak` needs `after`", None),
    (6, "  dev: {hosts: [a], after: dev}", 28, "these environments wait for each other: dev → dev", None),
    (6, "  dev: {hosts: [a], after: production}", 28, "dev → production → dev", None),
    (6, "  dev: {hosts: [a], after: producton}", 28, "there is no environment `producton`", "production"),
    (
        6,
        "  dev: {hosts: [a], approvals: 2}",
        32,
        "expected a mapping (count, from, prevent_self_review, timeout)",
        None,
    ),
    (6, "  dev: {hosts: [a], approvals: {count: 0}}", 40, "expected a whole number from 1 to 1000", None),
    (6, "  dev: {hosts: [a], approvals: {count: 2, from: [maya]}}", 40, "2 must agree, and only 1 may", None),
    (6, "  dev: {hosts: [a], approvals: {from: []}}", 39, "found an empty list", None),
    (6, "  dev: {hosts: [a], approvals: {form: [maya]}}", 33, "unknown key `form` in the approvals", "from"),
    (6, "  dev: {hosts: [a], max_parallel: 0}", 35, "expected a whole number from 1 to 1000", None),
    (6, "  dev: {hosts: [a], max_parallel: 50%}", 35, "expected a whole number from 1 to 1000", None),
    (6, "  dev: {hosts: [a], max_paralel: 2}", 21, "unknown key `max_paralel` in an environment", "max_parallel"),
    (6, "  dev: {hosts: [a], drills: {}}", 29, "what is said of drills needs `every` or `probe`", None),
    (6, "  dev: {hosts: [a], require: rollback_ready}", 30, "expected a mapping (rollback_ready, max_drill_age", None),
    (6, "  dev: {hosts: [a], require: {}}", 30, "what is required needs `rollback_ready`, `max_drill_age` or", None),
    (6, "  dev: {hosts: [a], require: {rollback_ready: 30d}}", 47, "expected `true` or `false`", None),
    (
        6,
        "  dev: {hosts: [a], require: {rollback: true}}",
        31,
        "unknown key `rollback` in what is required",
        "rollback_ready",
    ),
    (6, "  dev: {hosts: [a], require: {signed: true}}", 31, "`signed` is not supported by this version", None),
    (6, "  dev: {hosts: [a], require: {max_drill_age: often}}", 46, "expected a duration such as 30s", None),
    (6, "  dev: {hosts: [a], require: {build: green}}", 38, "expected `passed`, found `green`", None),
    (6, "  dev: {hosts: [a], require: {build: passed}}", 3, "nothing says where `api` is built", None),
    (6, "  dev: {hosts: [a], freezes: [{to: Mon 08:00}]}", 31, "`from` is missing in a freeze", None),
    (6, "  dev: {hosts: [a], freezes: [{from: fri 16:00, to: Mon}]}", 38, "expected a time of the week", "Fri 16:00"),
    (6, "  dev: {hosts: [a], freezes: [{from: Fri 25:00, to: Mon}]}", 38, "expected a time of the week", None),
    (6, "  dev: {hosts: [a], freezes: [{from: Fri, to: 2026-12-24}]}", 47, "it begins every week and ends once", None),
    (6, "  dev: {hosts: [a], freezes: [{from: 2026-12-24, to: Fri}]}", 54, "it begins once and ends every week", None),
    (6, "  dev: {hosts: [a], freezes: [{from: 2026-12-24, to: 2026-12-23}]}", 54, "it ends before it begins", None),
    (6, "  dev: {hosts: [a], freezes: [{from: 2026-02-30, to: 2026-12-23}]}", 38, "there is no such day", None),
    (6, "  dev: {hosts: [a], freezes: [{from: Fri 16:00, to: Fri 16:00}]}", 53, "it ends when it begins", None),
    (
        6,
        "  dev: {hosts: [a], freezes: [{from: Fri, to: Mon, zone: berlin}]}",
        58,
        "expected a time zone",
        "Europe/Berlin",
    ),
    (6, "  dev: {hosts: [a], freezes: [{from: Fri, to: Mon, zone: Mars/Base}]}", 58, "the IANA time zones", None),
    (
        6,
        "  dev: {hosts: [a], freezes: [{from: Fri, to: Mon, reasn: x}]}",
        52,
        "unknown key `reasn` in a freeze",
        "reason",
    ),
    (6, "  dev: {hosts: [a], env: {1X: a}}", 27, "expected the name of a variable", None),
    (6, "  dev: {hosts: [a], env: {QD_X: a}}", 27, "set by Quarterdeck", None),
    (6, "  dev: {hosts: [a], env: {A: 1, A: 2}}", 33, "`A` is here twice; first in line 6", None),
    (6, "  dev: {hosts: [a], env: {A: a}, secrets: {A: {env: A}}}", 44, "both a secret and an ordinary variable", None),
    (6, "  dev: {hosts: [a], secrets: {A: {}}}", 34, "a secret needs `env`, `file`, `command`, `sops` or `age`", None),
    (6, "  dev: {hosts: [a], secrets: {A: {env: A, age: b}}}", 43, "only one of", None),
    (6, "  dev: {hosts: [a], secrets: {A: {sops: file.yml}}}", 41, "expected FILE#key", None),
    (10, "    artifact: {}", 15, "an artifact needs `tarball` or `image`", None),
    (10, "    artifact: {image: x}", 23, "an image needs `container` beside the artifact: {} is enough", None),
    (10, "    artifact: {image: x, tarball: y}", 16, "only one of `tarball` or `image` may stand in an artifact", None),
    (10, "    artifact: {image: x, sha256: y}", 26, "an image is known by its digest", None),
    (10, "    artifact: {image: 'x:1.2'}", 23, "the version is the tag; leave `:1.2` out", "x"),
    (10, "    artifact: {image: 'r.example.com:5000/x:1.2'}", 23, "leave `:1.2` out", "r.example.com:5000/x"),
    (10, "    artifact: {image: 'x@sha256:abc'}", 23, "leave `@sha256:abc` out", "x"),
    (10, "    artifact: {image: 'https://r.io/x'}", 23, "an image has no scheme", "r.io/x"),
    (10, "    artifact: {image: r.io/Acme/x}", 23, "in small letters", "r.io/acme/x"),
    (10, "    artifact: {image: 'r.io:70000/x'}", 23, "a port is a number from 1 to 65535", None),
    (10, "    artifact: {image: a//x}", 23, "expected a repository of images", None),
    (10, "    artifact: {tarball: 'http://x/a.tgz'}", 16, "`sha256` is missing", None),
    (10, "    artifact: {tarball: 'sftp://x/a.tgz'}", 16, "`sha256` is missing", None),
    (10, "    artifact: {tarball: 'https://u:p@x/a.tgz', sha256: a.sha256}", 25, "no password", None),
    (10, "    artifact: {tarball: 'ftp://x/a.tgz', sha256: a.sha256}", 25, "https://, http:// or sftp://", None),
    (10, "    artifact: {tarball: 'https:///a.tgz', sha256: a.sha256}", 25, "not a valid URL", None),
    (10, "    artifact: {tarball: 'a-{verison}.tgz'}", 25, "{verison} can't be filled in here, only {version}", None),
    (
        10,
        "    artifact: {tarball: a.tgz, sha256: 0123456789abcdef0123456789abcdef}",
        40,
        "32 hex digits instead of 64",
        None,
    ),
    (11, "    path: srv/api", 11, "expected an absolute path on the hosts", None),
    (11, "    path: /srv/../etc", 11, "it must not contain ..", None),
    (11, "    path: /", 11, "the root directory", None),
    (11, "    path: /srv/{env}", 11, "{env} can't be filled in here, only {environment} and {service}", None),
    (11, "    path: [/srv]", 11, "found a list", None),
    (12, "    unit: api", 11, "expected the name of a systemd unit", None),
    (12, "    unit: --now.service", 11, "expected the name of a systemd unit", None),
    (12, "    unit: {user: true}", 11, "`name` is missing in a unit", None),
    (12, "    unit: {name: a.service, usr: true}", 29, "unknown key `usr`", "user"),
    (12, "    commands: {start: a}", 15, "`stop` is missing in the commands", None),
    (12, "    commands: {start: a, stop: ''}", 32, "it is empty", None),
    (13, "    health: {}", 13, "a health gate needs `http`, `tcp` or `command`", None),
    (13, "    health: {interval: 5s}", 13, "a health gate needs", None),
    (13, "    health: {http: {port: 0}}", 27, "expected a port from 1 to 65535, found `0`", None),
    (13, "    health: {http: {port: 65536}}", 27, "expected a port", None),
    (13, "    health: {http: {port: 0x50}}", 27, "expected a port", None),
    (13, "    health: {http: {port: 8_0}}", 27, "expected a port", None),
    (13, "    health: {http: {port: 80, status: 99}}", 39, "expected an HTTP status", None),
    (13, "    health: {http: {port: 80, path: x}}", 37, "expected a path that begins with /", None),
    (13, "    health: {http: {port: 80, host: 'a b'}}", 37, "expected a host name or an IP address", None),
    (13, "    health: {http: {port: 80}, timeout: 5}", 41, "the unit is missing", "5s"),
    (13, "    health: {http: {port: 80}, timeout: 0s}", 41, "it must be longer than 0", None),
    (13, "    health: {http: {port: 80}, timeout: 1e3s}", 41, "expected a duration", None),
    (13, "    health: {http: {port: 80}, timeout: 99999d}", 41, "longer than ten years", None),
    (13, "    health: {http: {port: 80}, min_healthy_time: 2m}", 50, "must be shorter than healthy_deadline", None),
    (13, "    health: {http: {port: 80}, healthy_deadline: 10m}", 50, "progress_deadline (600s) must be longer", None),
    (13, "    health: {tcp: 80}\n    progress_deadline: 2m", 24, "must be longer than healthy_deadline (120s)", None),
    (
        13,
        "    health: {tcp: 80, healthy_deadline: 6m, min_healthy_time: 5m}",
        41,
        "min_healthy_time (300s) together",
        None,
    ),
    (13, "    hooks: {before: [{run: x, timeout: 10m}]}", 40, "longer than the timeout of the hook `x` (600s)", None),
    (13, "    hooks: {after: [{run: x}, {run: y, where: each, timeout: 1h}]}", 62, "the hook `y` (3600s)", None),
    (13, "    hooks: {after: [{run: x}]}\n    progress_deadline: 5m", 24, "the hook `x` (300s)", None),
    (13, "    health: {http: {port: 80}, from: bastoin}", 38, "expected `host` or `bastion`", "bastion"),
    (13, "    helth: {http: {port: 80}}", 5, "unknown key `helth` in a service", "health"),
    (14, "    strategy: canary", 15, "`canary` needs its steps", None),
    (14, "    strategy: {canary: {}}", 24, "`steps` is missing in a canary strategy", None),
    (14, "    strategy: {canary: {steps: []}}", 32, "found an empty list", None),
    (14, "    strategy: {canary: {steps: [{pause: 5m}]}}", 32, "needs a step `set_weight`", None),
    (14, "    strategy: {canary: {steps: [{set_weight: 0}]}}", 46, "expected a percentage above 0", None),
    (14, "    strategy: {canary: {steps: [{set_weight: 101}]}}", 46, "expected a percentage above 0", None),
    (14, "    strategy: {canary: {steps: [{set_wieght: 5}]}}", 34, "unknown key `set_wieght`", "set_weight"),
    (14, "    strategy: {canary: {steps: [{set_weight: 9}, {set_weight: 9}]}}", 50, "more than the one before", None),
    (14, "    strategy: {canary: {steps: [{set_weight: 9}, {bake: 5m}]}}", 50, "`bake` watches all hosts", None),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 100}, {bake: 5m}, {pause: 1m}]}}",
        52,
        "`bake` is the last step",
        None,
    ),
    (14, "    strategy: {canary: {steps: [{set_weight: 9, pause: 5m}]}}", 49, "only one of", None),
    (14, "    strategy: {canary: {steps: [{set_weight: 9}, {analysis: [x]}]}}", 32, "there is no analysis `x`", None),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {approval: 2}]}}",
        61,
        "expected a mapping (count, from",
        None,
    ),
    (14, "    strategy: {canary: {steps: [{approval: {}}]}}", 32, "needs a step `set_weight`", None),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {approval: {count: 2, from: [maya]}}]}}",
        69,
        "2 must agree, and only 1 may",
        None,
    ),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {approval: {on_timeout: promot}}]}}",
        74,
        "expected `abort` or `promote`",
        "promote",
    ),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {approval: {timeuot: 1h}}]}}",
        62,
        "unknown key `timeuot` in an approval",
        "timeout",
    ),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {set_scale: x}]}}",
        62,
        "expected a number of hosts",
        None,
    ),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {run: {run: x, timeout: 1h}}]}}",
        32,
        "the timeout of the step",
        None,
    ),
    (14, "    strategy: rollling", 15, "expected `rolling`, `recreate` or `blue_green`", "rolling"),
    (
        14,
        "    strategy: {}",
        15,
        "a strategy needs `rolling`, `recreate`, `blue_green`, `canary`, `ab` or `flag`",
        None,
    ),
    (
        14,
        "    strategy: {rolling: {}, recreate: {}}",
        29,
        "only one of `rolling`, `recreate`, `blue_green`, `canary`, `ab` or `flag`",
        None,
    ),
    (14, "    strategy: {rolling: {batches: [0]}}", 36, "expected a number of hosts", None),
    (14, "    strategy: {rolling: {batches: [101%]}}", 36, "expected a number of hosts", None),
    (14, "    strategy: {rolling: {batches: [0%]}}", 36, "expected a number of hosts", None),
    (14, "    strategy: {rolling: {batches: []}}", 35, "found an empty list", None),
    (14, "    strategy: {rolling: {max_surge: 0}}", 37, "expected a number of hosts", None),
    (14, "    strategy: {rolling: {order: reverse}}", 33, "expected `listed`, `reversed` or `random`", "reversed"),
    (14, "    router: edge/api", 13, "there is no router `edge`", None),
    (14, "    keep: {releases: 0}", 22, "expected a whole number from 1 to 1000", None),
    (14, "    keep: {warm: -1}", 18, "expected a whole number from 0 to 100", None),
    (14, "    logs: {}", 11, "needs `journal` or `files`", None),
    (14, "    logs: {files: [log/*.log]}", 20, "expected an absolute path on the hosts", None),
    (14, "    on_orphan: rollback", 16, "expected `resume`, `hold` or `roll_back`", "roll_back"),
    (14, "    on_unreachable: ignore", 21, "expected `stop` or `continue`", None),
    (14, "    rollback: {automatic: no}", 27, "expected `true` or `false`", "false"),
    (14, "    hooks: {before: {run: x}}", 21, "expected a list of hooks", None),
    (14, "    hooks: {before: [{where: one}]}", 22, "`run` is missing in a hook", None),
    (14, "    hooks: {during: []}", 13, "unknown key `during`", None),
    (14, "    hooks: {after: [{run: x, reversible: false, on_rollback: y}]}", 49, "contradicts", None),
    (14, "    files: {/etc/x: {content: a}}", 13, "relative to the release's directory", None),
    (14, "    files: {a/../../x: {content: a}}", 13, "leads out of the release's directory", None),
    (14, "    files: {a/: {content: a}}", 13, "it must name a file", None),
    (14, "    files: {qd.env: {content: a}}", 13, "Quarterdeck's own", None),
    (14, "    files: {a: {content: a}, ./a: {content: b}}", 30, "the same as another key", None),
    (14, "    files: {a: {content: a}, a/b: {content: b}}", 12, "can't be a file and the directory of", None),
    (14, "    files: {a: {}}", 16, "a file needs `content` or `from`", None),
    (14, "    files: {a: {content: a, from: b}}", 29, "only one of `content` or `from`", None),
    (14, "    files: {a: {from: missing.ini}}", 23, "there is no file", None),
    (14, "    files: {a: {from: /etc/hostname}}", 23, "keep it in the repository", None),
    (14, "    files: {a: {content: a, mode: 0999}}", 35, "expected permissions", None),
    (14, "    files: {a: {content: a, mode: 4755}}", 35, "expected permissions", None),
    (14, "    environments: {prod: {}}", 20, "there is no environment `prod`", None),
    (14, "    environments: {dve: {}}", 20, "there is no environment `dve`", "dev"),
    (14, "    environments: {dev: }", 20, "write null", None),
    (14, "    environments: {dev: {environments: {}}}", 26, "can't stand here", None),
    (
        14,
        "    environments: {dev: {unit: a.service, commands: {start: a, stop: b}}}",
        43,
        "can't both run the service",
        None,
    ),
    (14, "    commands: {start: a, stop: b}", 5, "can't both run the service", None),
    (14, "    <<: {unit: a.service}", 5, "a merge key `<<` is not allowed", None),
    (14, "    strategy: !!str rolling", 15, "the tag tag:yaml.org,2002:str is not allowed", None),
    (14, "    strategy: {rolling: {}", 27, "this is not YAML", None),
    (14, "    ? [a]\n    : b", 7, "a key must be text", None),
    (1, "fleet: acme\nanalyses: {a: []}", 15, "found an empty list", None),
    (1, "fleet: acme\nanalyses: {a: [{metric: {probe: {}}}]}", 16, "`name` is missing in a metric", None),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {router: eror_rate}}]}", 43, "error_rate", "error_rate"),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {router: p95}}]}", 26, "must say what is well", None),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {docker: restarts}}]}", 35, "is called `host`", None),
    (
        1,
        "fleet: acme\nanalyses: {a: [{name: e, metric: {logs: {match: 'a(b'}}, success: value < 1}]}",
        49,
        "missing ), unterminated subpattern",
        None,
    ),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {logs: {}}}]}", 26, "must say what is well", None),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {probe: {}}, success: valu < 1}]}", 56, "valu", "value"),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {logs: {}}, success: valu < 1}]}", 55, "valu", "value"),
    (
        1,
        "fleet: acme\nanalyses: {a: [{name: e, metric: {prometheus: {url: 'p:9090', query: q}}, success: value < 1}]}",
        53,
        "expected a URL such as http://prometheus:9090",
        None,
    ),
    (
        1,
        "fleet: acme\nanalyses: {a: [{name: e, metric: {prometheus: {url: 'http://p', query: q, token: {env: T}}}, success: value < 1}]}",
        53,
        "the token would go over the network without encryption",
        None,
    ),
    (1, "fleet: acme\nanalyses: {a: [{name: e, metric: {command: 'a {{adress}}'}}]}", 44, "{{adress}}", "{{address}}"),
    (
        1,
        "fleet: acme\nanalyses: {a: [{name: e, metric: {prometheus: {url: 'http://u', query: q}}}]}",
        26,
        "must say what is well",
        None,
    ),
    (
        1,
        "fleet: acme\nanalyses: {a: [{name: e, metric: {prometheus: {url: 'http://u', query: q, username: a}}, success: value < 1}]}",
        26,
        "`username` and `password` belong together",
        None,
    ),
    (
        1,
        "fleet: acme\nanalyses: {a: [{name: e, metric: {probe: {}}, success: value < 1, compare: baseline}]}",
        26,
        "`compare` takes no `success`",
        None,
    ),
    (1, "fleet: acme\nanalyses: {a: [&m {name: e, metric: {probe: {}}}, *m]}", 16, "in this analysis already", None),
    (
        14,
        "    strategy: {canary: {steps: [{set_weight: 9}, {analysis: [c]}]}}",
        32,
        "there is no analysis `c`",
        None,
    ),
    (
        14,
        "  web: {artifact: {tarball: x}, path: /srv/dev/api, unit: x.service}",
        39,
        "are both in /srv/dev/api on a",
        None,
    ),
    (14, "  web: {artifact: {tarball: x}, path: /srv/dev, unit: x.service}", 39, "are both in /srv/dev on a", None),
    (
        14,
        "  web: {artifact: {tarball: x}, path: /srv/dev/api/shared, unit: x.service}",
        39,
        "dev/web and dev/api",
        None,
    ),
    (14, "  web: {path: /srv/web, unit: x.service}", 3, "the service `web` needs `artifact`", None),
    (14, "  web: {artifact: {tarball: x}, path: '/x/{environment}'}", 3, "needs `unit` or `commands`", None),
    (
        14,
        "  web: {artifact: {tarball: x}, unit: x.service, environments: {dev: {path: /x}}}",
        3,
        "`path` for production",
        None,
    ),
]


@pytest.mark.parametrize(("line", "instead", "column", "message", "nearest"), CASES, ids=[case[1] for case in CASES])
def test_a_mistake_is_reported_at_its_place(
    line: int, instead: str, column: int, message: str, nearest: str | None, refuse: Refuse
) -> None:
    lines = GOOD.splitlines()
    lines[line - 1] = instead
    problems = refuse("\n".join(lines) + "\n")
    at = line + instead.count("\n") if "\n    :" not in instead else line
    found = [(p.line, p.column) for p in problems if message in p.message]
    assert (at, column) in found, render(problems)
    one = next(p for p in problems if message in p.message)
    assert one.text == instead.split("\n")[at - line]
    assert one.nearest == nearest


def test_lines_of_logs_that_nobody_has_are_not_counted(refuse: Refuse, load: Load) -> None:
    steps = "strategy: {canary: {steps: [{set_weight: 9}, {analysis: [a]}]}}"
    counts = GOOD.replace("strategy: rolling", steps) + (
        "analyses: {a: [{name: e, metric: {logs: {}}, success: value < 1}]}\n"
    )
    [problem] = refuse(counts)
    assert "`a` counts lines of logs, and nothing says where they are: add `logs`" in problem.message
    assert (problem.line, problem.column) == (14, 32)
    load(counts.replace(steps, f"logs: {{journal: api.service}}\n    {steps}"))


@pytest.mark.parametrize(
    ("router", "words"),
    [
        ("", "the service has no `router`: add one, or measure by `probe` or `prometheus`"),
        ("nginx", "edge is nginx, which does not count by release: measure by `probe` or `prometheus`, or use HAProxy"),
        ("caddy", "edge is Caddy, which does not count by release"),
        ("haproxy", ""),
    ],
)
def test_only_haproxy_is_asked_for_what_routers_count(refuse: Refuse, load: Load, router: str, words: str) -> None:
    steps = "strategy: {canary: {steps: [{set_weight: 9}, {analysis: [a]}]}}"
    asks = GOOD.replace("strategy: rolling", steps) + (
        "analyses: {a: [{name: e, metric: {router: error_rate}, compare: baseline, count: 30}]}\n"
    )
    if router:
        here = f"router: {{use: edge/api, port: 80}}\n    environments: {{dev: null}}\n    {steps}"
        asks = asks.replace(steps, here) + f"routers: {{edge: {{{router}: {{}}}}}}\n"
    if not words:
        load(asks)
        return
    [problem] = refuse(asks)
    assert f"`a` asks the router for error_rate, and {words}" in problem.message
    assert (problem.line, problem.column) == (16 if router else 14, 32)


def test_figures_of_what_is_run_by_commands_are_not_asked_for(refuse: Refuse, load: Load) -> None:
    steps = "strategy: {canary: {steps: [{set_weight: 9}, {analysis: [a]}]}}"
    asks = GOOD.replace("strategy: rolling", steps) + (
        "analyses: {a: [{name: e, metric: {host: restarts}, success: value == 0}]}\n"
    )
    load(asks)
    [problem] = refuse(asks.replace("unit: api.service", "commands: {start: a, stop: b}"))
    assert "`a` asks hosts for a figure of the service" in problem.message
    assert (problem.line, problem.column) == (14, 32)


def test_the_good_file_is_good(load: Load) -> None:
    assert list(load(GOOD).targets) == ["dev/api", "production/api"]


def test_most_single_mistakes_give_a_single_problem(refuse: Refuse) -> None:
    single = 0
    for line, instead, *_ in CASES:
        lines = GOOD.splitlines()
        lines[line - 1] = instead
        single += len(refuse("\n".join(lines) + "\n")) == 1
    assert single > len(CASES) * 0.85  # one mistake must not bury the reader in its consequences


def test_what_comes_later_is_said_once_for_each_key(refuse: Refuse) -> None:
    problems = refuse(
        """\
        fleet: acme
        hosts: {box: {docker: 'ssh://box'}}
        environments: {dev: {hosts: [box], require: {signed: true}}}
        services:
          api: {artifact: {image: api}, container: {}}
        """
    )
    assert [p.message for p in problems] == ["`signed` is not supported by this version"]


def test_all_problems_are_reported_at_once_in_order(refuse: Refuse) -> None:
    problems = refuse(
        """\
        fleet: Acme
        hosts: {a: {shs: a}}
        environments: {dev: {hosts: [b]}}
        services:
          api: {artifact: {tarball: x}, path: x, unit: api.service, keep: {releases: many}}
        """
    )
    assert [p.line for p in problems] == [1, 2, 3, 5, 5]


@pytest.mark.parametrize("ssh", ["b", "deploy@b", "root@b"])
def test_two_names_of_one_machine_are_one_machine(ssh: str, refuse: Refuse) -> None:
    changed = GOOD.replace("a: {ssh: deploy@10.0.0.1}", f"a: {{ssh: {ssh}}}")
    assert [p.message for p in refuse(changed)] == ["production has the machine b twice, so /srv/production/api too"]


def test_a_home_directory_is_one_for_each_login(load: Load) -> None:
    changed = GOOD.replace("a: {ssh: deploy@10.0.0.1}", "a: {ssh: other@b}").replace("path: /srv/", "path: ~/srv/")
    assert load(changed).targets["production/api"].path == "~/srv/production/api"


def test_an_error_within_an_alias_is_reported_once_where_it_is_written(refuse: Refuse) -> None:
    problems = refuse(
        """\
        fleet: x
        hosts: {a: {ssh: a}}
        environments: {dev: {hosts: [a]}}
        services:
          one: {artifact: {tarball: x}, path: /one, unit: a.service, health: &h {tcp: 99999}}
          two: {artifact: {tarball: x}, path: /two, unit: a.service, health: *h}
        """
    )
    assert [(p.line, p.message) for p in problems] == [(5, "expected a port from 1 to 65535, found `99999`")]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("--- \n", 1, "the file is empty"),
        ("null", 1, "expected a mapping"),
        ("- a\n", 1, "expected a mapping (fleet, state"),
        ("fleet: a\n---\nfleet: b\n", 2, "a second document begins here"),
        ("fleet: a\n...\n---\n", 3, "a second document begins here"),
        ("fleet: a\n\tstate: b\n", 2, "indent with spaces, not with tabs"),
        ("fleet: a\noperators: {view: [@ops]}\n", 2, "put text that begins with @, %, * or ` in quotes"),
        ("fleet: a\nx: [*.log]\n", 2, "put text that begins with @, %, * or ` in quotes"),
        ("fleet: a\nx: {tarball: a-{version}.tgz}\n", 2, "put text with {version} or the like in quotes"),
        ("fleet: 'a\n", 1, "this is not YAML"),
    ],
)
@pytest.mark.parametrize("parser", ["c", "python"])
def test_a_file_that_is_no_fleet_file(
    text: str, line: int, message: str, parser: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    if parser == "python":
        monkeypatch.setattr("yaml.__with_libyaml__", False)
    problems = refuse(text)
    assert message in problems[0].message
    assert problems[0].line == line


def test_a_million_mistakes_are_counted_not_listed(refuse: Refuse) -> None:
    problems = refuse("fleet: x\n" + "".join(f"k{number}: 1\n" for number in range(20_000)))
    assert len(problems) == 501
    assert problems[-1].message == "and 19500 more errors"


def test_rendering_shows_line_caret_and_suggestion() -> None:
    problem = Problem(Path("fleet.yml"), 3, 5, "    helth: 日本", "unknown key `helth`", nearest="health")
    assert render([problem]) == (
        "fleet.yml:3:5: unknown key `helth`\n        helth: 日本\n        ^\n    did you mean `health`?"
    )


def test_the_caret_counts_wide_characters_and_long_lines_are_cut() -> None:
    wide = render([Problem(Path("f"), 1, 3, "日本x", "m")]).splitlines()
    assert wide[2] == "    " + " " * 4 + "^"
    long = render([Problem(Path("f"), 1, 5001, "a" * 5000 + "X" + "b" * 5000, "m")]).splitlines()
    assert len(long[1]) < 180
    assert long[1][long[2].index("^")] == "X"


def test_rendering_never_sends_control_characters() -> None:
    hostile = "\x1b]0;owned\x07\r\u202e\x9b2J"
    shown = render([Problem(Path(f"f{hostile}"), 1, 1, hostile, hostile, nearest=hostile)])
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert len(shown.splitlines()) == 4


def test_problems_as_json_values(refuse: Refuse) -> None:
    problems = refuse("fleet: x\nstat: y\n")
    (value,) = json.loads(json.dumps(to_values(problems)))
    assert {key: value[key] for key in ("line", "column", "text", "message", "nearest")} == {
        "line": 2,
        "column": 1,
        "text": "stat: y",
        "message": "unknown key `stat` in a fleet file",
        "nearest": "state",
    }
    assert value["file"].endswith("fleet.yml")
    assert str(FleetFileErrors(problems)).startswith("1 error; first: ")
