"""The JSON Schema of the fleet file, made from the description of its keys, for editors and for `qd schema`."""

import json
from typing import Any

from quarterdeck.config.keys import FLEET


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12). It knows shapes, not meanings: only the loader says whether a file is right."""
    definitions: dict[str, dict[str, Any]] = {}
    top = FLEET.schema(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Quarterdeck fleet file",
        "description": "What a team declares: hosts, environments, services. An included file has no `fleet`.",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as the text of fleet.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
