"""Eigenvalues of small symmetric matrices, in plain Python."""

from __future__ import annotations

from math import copysign, hypot, sqrt
from typing import Final

_SWEEPS: Final = 60
_NOTHING: Final = 1e-15

Matrix = list[list[float]]


def eigen(matrix: Matrix) -> tuple[list[float], Matrix]:
    """Eigenvalues d and orthonormal eigenvectors, the columns of V: matrix = V diag(d) V'.

    Cyclic Jacobi [Golub & Van Loan, Matrix Computations, 8.5]: some 6 n^3 steps a sweep and a handful of sweeps;
    meant for a dozen rows.

    Args:
        matrix: Symmetric; not changed.
    """
    size = len(matrix)
    a = [list(row) for row in matrix]
    v = [[float(i == j) for j in range(size)] for i in range(size)]
    enough = _NOTHING * max((hypot(*row) for row in a), default=0.0)
    for _ in range(_SWEEPS):
        if all(abs(a[p][q]) <= enough for p in range(size) for q in range(p)):
            break
        for p in range(size - 1):
            for q in range(p + 1, size):
                if a[p][q]:
                    _rotate(a, v, p, q)
    return [a[i][i] for i in range(size)], v


def _rotate(a: Matrix, v: Matrix, p: int, q: int) -> None:
    """Make a[p][q] nothing by a rotation in the plane of p and q."""
    theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
    t = copysign(1.0, theta) / (abs(theta) + hypot(theta, 1.0))
    c = 1 / sqrt(t * t + 1)
    s = t * c
    for row in a:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
    upper, lower = a[p], a[q]
    a[p] = [c * x - s * y for x, y in zip(upper, lower, strict=True)]
    a[q] = [s * x + c * y for x, y in zip(upper, lower, strict=True)]
    for row in v:
        row[p], row[q] = c * row[p] - s * row[q], s * row[p] + c * row[q]
