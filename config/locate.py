"""Says which fleet file is meant. It opens nothing."""

import os
from collections.abc import Mapping
from pathlib import Path


class NoFleetFile(Exception):
    """No fleet file was named and none is where one is looked for. ``places`` are those, in their order."""

    def __init__(self, places: tuple[Path, ...]) -> None:
        self.places = places
        looked = " and ".join(str(place) for place in places)
        super().__init__(f"there is no fleet file: looked for {looked}; name one with --fleet FILE or $QD_FLEET")


def locate_fleet(
    given: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Path:
    """The fleet file: ``given`` (--fleet), else $QD_FLEET, else ./fleet.yml, else ~/.config/quarterdeck/fleet.yml.

    What was named is returned whether it exists or not: the loader says what is wrong with it. Of the other two, the
    first that exists. ``environment`` and ``directory`` are the process's own unless given. Raises ``NoFleetFile``.
    """
    variables = os.environ if environment is None else environment
    named = given if given is not None else variables.get("QD_FLEET") or None
    if named is not None:
        return Path(named)
    home = variables.get("HOME")
    settings = Path(home) if home else Path.home()
    beside = Path("fleet.yml") if directory is None else directory / "fleet.yml"
    places = (beside, settings / ".config" / "quarterdeck" / "fleet.yml")
    for place in places:
        if place.exists():
            return place
    raise NoFleetFile(places)
