"""Packages of PyPI that tests use as people do: installed once into `target/clients`."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Name in PyPI with its version, and name of the module.
PACKAGES = {"openai==3.*": "openai", "langchain-openai==1.*": "langchain_openai", "playwright==1.*": "playwright", "huggingface_hub==1.*": "huggingface_hub"}
# Exit status of a test that cannot run here.
SKIPPED = 77


def python():
    """The Python that has the packages. Ends the program with SKIPPED where PyPI cannot be reached."""
    folder = ROOT / "target" / "clients"
    found = folder / "bin" / "python"
    imports = f"import {', '.join(PACKAGES.values())}"
    if found.exists() and subprocess.run([found, "-c", imports], stderr=subprocess.DEVNULL).returncode == 0:
        return found
    made = subprocess.run([sys.executable, "-m", "venv", folder]).returncode == 0
    if not made or subprocess.run([found, "-m", "pip", "install", "--quiet", *PACKAGES]).returncode:
        print(f"{Path(sys.argv[0]).name}: {', '.join(PACKAGES.values())} cannot be installed from PyPI", file=sys.stderr)
        sys.exit(SKIPPED)
    return found
