"""Systems of linear equations, symmetric and positive definite, of a few unknowns."""

from __future__ import annotations

from math import sqrt

#: The lower triangle of a symmetric matrix, row by row: row i has i + 1 entries.
Triangle = list[list[float]]


def diagonal(entries: list[float]) -> Triangle:
    """A matrix with these entries on its diagonal, and nothing else."""
    return [[0.0] * i + [entry] for i, entry in enumerate(entries)]


def mixed(a: Triangle, share: float, b: Triangle, rest: float) -> Triangle:
    """``share`` of one matrix plus ``rest`` of another."""
    return [
        [share * x + rest * y for x, y in zip(row, other, strict=True)]
        for row, other in zip(a, b, strict=True)
    ]


def times(a: Triangle, x: list[float]) -> list[float]:
    """The matrix times a vector."""
    out = [0.0] * len(x)
    for i, row in enumerate(a):
        for j in range(i):
            out[i] += row[j] * x[j]
            out[j] += row[j] * x[i]
        out[i] += row[i] * x[i]
    return out


def solve(a: Triangle, y: list[float]) -> list[float]:
    """The x with ``a`` x = y, by Cholesky's decomposition.

    Raises:
        ValueError: the matrix is not positive definite.
    """
    low: Triangle = []
    for i, given in enumerate(a):
        row: list[float] = []
        for j in range(i):
            row.append((given[j] - sum(x * z for x, z in zip(row, low[j], strict=False))) / low[j][j])
        pivot = given[i] - sum(x * x for x in row)
        if not pivot > 0.0:
            raise ValueError("the matrix is not positive definite")
        row.append(sqrt(pivot))
        low.append(row)
    out: list[float] = []
    for i, row in enumerate(low):
        out.append((y[i] - sum(row[j] * out[j] for j in range(i))) / row[i])
    for i in reversed(range(len(low))):
        out[i] = (out[i] - sum(low[k][i] * out[k] for k in range(i + 1, len(low)))) / low[i][i]
    return out
