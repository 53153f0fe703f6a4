"""`python3 -m tools.sbom [FOLDER]`: a CycloneDX list of each image's Python packages, out of uv.lock, by uv itself.

FOLDER/operator.cdx.json and FOLDER/runner.cdx.json; build/sbom by default. The same extras as in the Dockerfile, the same lock file.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / "tools" / "bootstrap" / "uv.sh"
IMAGES = {"operator": "controller", "runner": "runner"}  # image: extra of pyproject.toml


def write(folder: Path) -> list[Path]:
    """Write the lists; their paths. CalledProcessError with uv's own words on stderr when the lock file does not fit."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for image, extra in IMAGES.items():
        file = folder / f"{image}.cdx.json"
        options = (
            "--frozen",
            "--no-dev",
            "--extra",
            extra,
            "--format",
            "cyclonedx1.5",
            "--preview-features",
            "sbom-export",
        )
        subprocess.run((UV, "export", "--quiet", *options, "--output-file", file), cwd=ROOT, check=True)
        files.append(file)
    return files


if __name__ == "__main__":
    for written in write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "sbom"):
        print(written)
