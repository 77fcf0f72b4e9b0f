"""stub"""
from pathlib import Path
def journal_share(fleet_file: Path, directory: Path, deploy_seconds: float) -> dict[str, float]:
    return {}
