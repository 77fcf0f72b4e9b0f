"""Makes rank_vectors.json beside this file: what SciPy and R say of samples, for the tests of our own rank statistics, which need neither.

Run by hand, with SciPy in an environment of its own and R's ``Rscript`` on the path:
``python -m venv build/scipy && build/scipy/bin/pip install scipy && build/scipy/bin/python tests/rollouts/analysis/make_rank_vectors.py``.
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

CONFIDENCE = 0.98
R_PROGRAM = """
options(digits = 17)
x <- c(%s); y <- c(%s)
exact <- length(x) < 50 && length(y) < 50 && !any(duplicated(c(x, y)))
one <- suppressWarnings(wilcox.test(y, x, alternative = "greater", exact = exact))
both <- suppressWarnings(wilcox.test(y, x, conf.int = TRUE, conf.level = %s, exact = exact))
cat(as.integer(exact), one$statistic, one$p.value, both$p.value, both$estimate, both$conf.int[1], both$conf.int[2])
"""


def samples() -> dict[str, tuple[list[float], list[float]]]:
    draw = random.Random(5)

    def latencies(count: int, factor: float = 1.0, digits: int = 6) -> list[float]:
        return [round(draw.lognormvariate(-2.3, 0.5) * factor, digits) for _ in range(count)]

    return {
        "apart": ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]),
        "one each": ([1.0], [2.0]),
        "few": ([0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46], [1.15, 0.88, 0.9, 0.74, 1.21]),
        "uneven": (latencies(7), latencies(31, 1.3)),
        "alike": (latencies(20), latencies(20)),
        "30 % slower": (latencies(40), latencies(40, 1.3)),
        "quicker": (latencies(25), latencies(30, 0.6)),
        "twice as slow": (latencies(30), latencies(45, 2.0)),
        "just above what is counted": (latencies(60), latencies(55, 1.2)),
        "many": (latencies(150), latencies(200, 1.1)),
        "many more": (latencies(300), latencies(350, 1.05)),
        "ties": (latencies(40, digits=2), latencies(50, 1.2, digits=2)),
        "few with ties": ([1.0, 2.0, 2.0, 3.0, 5.0], [2.0, 3.0, 4.0, 4.0, 5.0, 6.0]),
        "nearly all the same": ([1.0] * 19 + [2.0], [1.0] * 18 + [2.0] * 4),
        "many with ties": (latencies(200, digits=2), latencies(180, 1.15, digits=2)),
    }


def of_r(x: list[float], y: list[float]) -> dict[str, Any]:
    program = R_PROGRAM % (",".join(map(repr, x)), ",".join(map(repr, y)), CONFIDENCE)
    done = subprocess.run(["Rscript", "--vanilla", "-e", program], capture_output=True, text=True, check=True)
    exact, u, greater, two_sided, estimate, low, high = map(float, done.stdout.split())
    return {
        "exact": bool(exact), "u": u, "greater": greater, "two_sided": two_sided,
        "estimate": estimate, "low": low, "high": high,
    }  # fmt: skip


def of_scipy(x: list[float], y: list[float], exact: bool) -> dict[str, float]:
    from scipy.stats import mannwhitneyu

    method = "exact" if exact else "asymptotic"
    one = mannwhitneyu(y, x, alternative="greater", method=method)
    both = mannwhitneyu(y, x, alternative="two-sided", method=method)
    return {"u": float(one.statistic), "greater": float(one.pvalue), "two_sided": float(both.pvalue)}


def main() -> None:
    import scipy

    r = subprocess.run(["Rscript", "--version"], capture_output=True, text=True, check=True)
    found = []
    for name, (first, second) in samples().items():
        by_r = of_r(first, second)
        by_scipy = of_scipy(first, second, by_r["exact"])
        found.append({"name": name, "first": first, "second": second, "r": by_r, "scipy": by_scipy})
    body = {
        "made by": f"SciPy {scipy.__version__}, {(r.stdout or r.stderr).strip()}, Python {sys.version.split()[0]}",
        "confidence": CONFIDENCE,
        "vectors": found,
    }
    lines = json.dumps(body, indent=1).splitlines()
    text, row = [], ""
    for line in lines:  # the numbers of a sample on one line
        bare = line.strip()
        if row:
            row += bare if bare.startswith("]") else f"{bare} "
            if bare.startswith("]"):
                text.append(row.replace(" ]", "]"))
                row = ""
        elif bare in ('"first": [', '"second": ['):
            row = line
        else:
            text.append(line)
    (Path(__file__).parent / "rank_vectors.json").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
