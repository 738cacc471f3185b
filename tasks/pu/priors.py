"""Estimates of the class prior from labelled positives and unlabelled images, for those who do not know it.

    km2  kernel means and a threshold on the slope of a distance: Ramaswamy, Scott and Tewari, ICML 2016
         `mixture_distance` is d(lambda), `km2` finds where its slope reaches 1 / sqrt(min(n, m)), or, where that is
         too high ever to be met, the threshold of KM1, as the authors do
    bbe  best bin of a classifier's scores: Garg, Wu, Smola, Balakrishnan and Lipton, NeurIPS 2021, Algorithm 1

Both read the images as vectors, which a principal component analysis shortens first, as others do for km2.

Differs from the papers: km2 looks at `KM2_POINTS` vectors of each kind at most and takes its kernel's width from the
median distance, without a search. The classifier that tells labelled from unlabelled images for bbe is logistic
regression on the vectors and their products in pairs, scored out of fold, where the paper trains a deep network.

p positives, u unlabelled, n vectors, d length of a vector
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor

KM2_COMPONENTS = 50
KM2_POINTS = 500
KM2_STEP = 0.05
"""Between the two lambdas whose distances give a slope."""
KM2_ROUNDS = 12
"""Halvings of the interval of the prior: to within 1 / 4,096."""
KM2_HIGHEST = 0.9
"""No threshold may be a larger share of the slope at infinity than this; with few vectors it would never be met."""
KM2_FALLBACK = 0.8
"""Where it is: the share of the slope at lambda = 1 in the threshold, the rest being of the slope at infinity."""
PROJECTIONS = 400
"""Steps of projected descent to the nearest distribution."""

BBE_COMPONENTS = 20
BBE_FOLDS = 5
BBE_CONFIDENCE = 0.1
"""delta: the bound of a bin is wrong with at most this probability."""
BBE_MARGIN = 0.01
"""gamma: by how much more than itself that bound counts."""


def estimate(
    name: Literal["km2", "bbe"], positive: Float[Tensor, "p c h w"], unlabelled: Float[Tensor, "u c h w"], seed: int
) -> float:
    """The share of positives among the unlabelled images, as the named estimator sees it."""
    vectors = [images.flatten(1).double().numpy() for images in (positive, unlabelled)]
    random = np.random.default_rng(seed)
    components = {"km2": KM2_COMPONENTS, "bbe": BBE_COMPONENTS}[name]
    analysis = PCA(min(components, *vectors[1].shape), random_state=seed % 2**32).fit(vectors[1])
    short_positive, short_unlabelled = (analysis.transform(rows) for rows in vectors)
    if name == "bbe":
        return bbe(*out_of_fold_scores(short_positive, short_unlabelled, seed))
    return km2(*(random.permutation(rows)[:KM2_POINTS] for rows in (short_positive, short_unlabelled)))


# Best bin -------------------------------------------------------------------------------------------------------------


def bbe(positive: Float[ndarray, " p"], unlabelled: Float[ndarray, " u"]) -> float:
    """The ratio of the shares of unlabelled and of labelled scores above the threshold whose ratio is surest to be low.

    A classifier's highest scores are positives alone, if any are: above such a threshold, that ratio is the prior.
    """
    thresholds = np.unique(np.concatenate([positive, unlabelled]))
    above_p = 1 - np.searchsorted(np.sort(positive), thresholds) / len(positive)
    above_u = 1 - np.searchsorted(np.sort(unlabelled), thresholds) / len(unlabelled)
    kept = above_p > 0
    above_p, above_u = above_p[kept], above_u[kept]
    deviation = sum(math.sqrt(math.log(4 / BBE_CONFIDENCE) / (2 * len(scores))) for scores in (positive, unlabelled))
    best = np.argmin((above_u + (1 + BBE_MARGIN) * deviation) / above_p)
    return float(above_u[best] / above_p[best])


def out_of_fold_scores(
    positive: Float[ndarray, "p d"], unlabelled: Float[ndarray, "u d"], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How labelled each vector looks to a classifier that was not fitted on it: positives first, then unlabelled."""
    vectors = np.concatenate([positive, unlabelled])
    labelled = np.repeat([1, 0], [len(positive), len(unlabelled)])
    classifier = make_pipeline(
        StandardScaler(), PolynomialFeatures(2), StandardScaler(), LogisticRegression(C=1e-3, class_weight="balanced")
    )
    folds = StratifiedKFold(BBE_FOLDS, shuffle=True, random_state=seed % 2**32)
    found = cross_val_predict(classifier, vectors, labelled, cv=folds, method="decision_function")
    return found[: len(positive)], found[len(positive) :]


# Kernel means ---------------------------------------------------------------------------------------------------------


def km2(positive: Float[ndarray, "p d"], unlabelled: Float[ndarray, "u d"]) -> float:
    """The largest share of positives that can be taken out of the unlabelled with a distribution left over.

    lambda = 1 / (1 - share) stretches the mixture away from the positives; up to the true share the stretched mixture
    is still near a distribution, beyond it the distance grows.
    """
    kernel = gaussian_kernel(np.concatenate([unlabelled, positive]))

    def slope(stretch: float) -> float:
        near, far = (mixture_distance(kernel, len(unlabelled), by) for by in (stretch, stretch + KM2_STEP))
        return (far - near) / KM2_STEP

    means = np.repeat([1 / len(unlabelled), -1 / len(positive)], [len(unlabelled), len(positive)])
    steepest = math.sqrt(float(means @ kernel @ means))  # The slope at infinity: the distance of the two means.
    threshold = 1 / math.sqrt(min(len(positive), len(unlabelled)))
    if threshold > KM2_HIGHEST * steepest:
        threshold = KM2_FALLBACK * slope(1.0) + (1 - KM2_FALLBACK) * steepest
    low, high = 0.0, 1.0
    for _ in range(KM2_ROUNDS):
        share = (low + high) / 2
        if slope(1 / (1 - share)) >= threshold:
            high = share
        else:
            low = share
    return (low + high) / 2


def gaussian_kernel(vectors: Float[ndarray, "n d"]) -> NDArray[np.float64]:
    """exp(-distance^2 / (2 median^2))."""
    distances = pairwise_distances(vectors)
    width = np.median(distances[np.triu_indices_from(distances, 1)])
    return np.exp(-(distances**2) / (2 * width**2))


def mixture_distance(kernel: Float[ndarray, "n n"], unlabelled: int, stretch: float) -> float:
    """d(lambda): how far lambda mean_U + (1 - lambda) mean_P is, in the kernel's space, from any distribution.

    `kernel` has the unlabelled vectors first; a distribution is one on all vectors.
    """
    positive = len(kernel) - unlabelled
    target = np.repeat([stretch / unlabelled, (1 - stretch) / positive], [unlabelled, positive])
    length = 1 / np.linalg.eigvalsh(kernel)[-1]
    weights = ahead = np.full(len(kernel), 1 / len(kernel))
    momentum = 1.0
    # Accelerated projected gradient (Beck and Teboulle, 2009).
    for _ in range(PROJECTIONS):
        moved = onto_simplex(ahead - length * (kernel @ (ahead - target)))
        faster = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / faster * (moved - weights)
        weights, momentum = moved, faster
    rest = target - weights
    return math.sqrt(max(0.0, float(rest @ kernel @ rest)))


def onto_simplex(point: Float[ndarray, " n"]) -> NDArray[np.float64]:
    """The nearest point whose entries are at least 0 and sum to 1."""
    ordered = np.sort(point)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(point) + 1)
    return np.maximum(point - excess[np.flatnonzero(ordered > excess)[-1]], 0)
