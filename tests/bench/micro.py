"""The sidecar's criterion benches (making a factory, verifying a token): runs those that there are, and reads their estimates."""

import json
import pathlib
import subprocess
import sys


def measure(root):
    """Rows of (bench, seconds: the median's lower bound, median, upper bound)."""
    names = sorted(file.stem for file in (root / "sidecar/benches").glob("*.rs"))
    if not names:
        return []
    print("criterion benches of the sidecar (cargo bench)", file=sys.stderr)
    words = ["cargo", "bench", "--quiet", "--package", "bulkhead-sidecar"]
    # Each by its name: the unit tests are a bench target too, and do not know criterion's flags.
    words += [word for name in names for word in ("--bench", name)]
    words += ["--", "--noplot", "--warm-up-time", "1", "--measurement-time", "3"]
    result = subprocess.run(words, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if result.returncode != 0:
        sys.exit(f"cargo bench failed:\n{result.stderr.decode(errors='replace')[-2000:]}")
    return list(estimates(root / "target/criterion"))


def estimates(folder: pathlib.Path):
    """What criterion has kept of its newest run; times are in nanoseconds there."""
    for file in sorted(folder.glob("**/new/estimates.json")):
        median = json.loads(file.read_text())["median"]
        bounds = median["confidence_interval"]
        name = str(file.parent.parent.relative_to(folder))
        yield name, bounds["lower_bound"] / 1e9, median["point_estimate"] / 1e9, bounds["upper_bound"] / 1e9
