"""Known vulnerabilities of the locked dependencies: fails where a newer version mends one, warns of everything else.

What nobody has mended yet, and an index that does not answer, are no reason to stop work; both are said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCKED = Path(__file__).parents[1] / "requirements.lock"
PATIENCE = 240


def main() -> None:
    """Ask pip-audit, which is run from the environment that this script is run from."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10"]
    command += ["--disable-pip", "--require-hashes", "--requirement", str(LOCKED)]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        found = json.loads(asked.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print("Dependencies were NOT audited: nobody who knows vulnerabilities answers.", file=sys.stderr)
        return
    unknown = [package["name"] for package in found if "skip_reason" in package]
    if unknown:
        some = ", ".join(unknown[:3])
        said = f"{len(unknown)} of {len(found)} dependencies were NOT audited: the index does not tell ({some}, ...)."
        print(said, file=sys.stderr)
    flaws = [(package, flaw) for package in found for flaw in package.get("vulns", ())]
    for package, flaw in flaws:
        mended = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {flaw['id']}, mended in {mended}", file=sys.stderr)
    if any(flaw["fix_versions"] for _, flaw in flaws):
        sys.exit("Raise their versions: make lock")
    print(f"{len(found) - len(unknown)} dependencies audited.")


if __name__ == "__main__":
    main()
