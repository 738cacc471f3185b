"""The analytic matrix of ALISTA."""

import torch

from methods.l2o.alista import analytic_matrix
from tasks.l2o.lasso import gaussian_dictionary, unit_columns


def test_every_column_of_the_analytic_matrix_has_a_product_of_one_with_its_own_of_the_dictionary(dictionary):
    products = (analytic_matrix(dictionary) * dictionary).sum(dim=0)
    assert (products - 1).abs().max() < 1e-10


def test_the_analytic_matrix_is_a_stationary_point(dictionary):
    # The gradient of ||A^T w||^2 along w is parallel to a, the normal of the constraint.
    slopes = dictionary @ dictionary.T @ analytic_matrix(dictionary)
    cosines = (unit_columns(slopes) * dictionary).sum(dim=0)
    assert (cosines - 1).abs().max() < 1e-10


def test_the_analytic_matrix_is_less_coherent_with_the_dictionary_than_the_dictionary_itself(dictionary):
    energy = (analytic_matrix(dictionary).T @ dictionary).square().sum()
    assert energy < 0.8 * (dictionary.T @ dictionary).square().sum()


def test_the_analytic_matrix_is_where_the_projected_gradient_of_its_authors_ends(dictionary):
    matrix = dictionary.clone()
    for _ in range(3000):
        matrix -= 0.1 * dictionary @ (dictionary.T @ matrix - torch.eye(50))
        matrix += (1 - (dictionary * matrix).sum(dim=0)) * dictionary
    assert (analytic_matrix(dictionary) - matrix).norm() < 1e-6 * matrix.norm()


def test_the_analytic_matrix_of_orthogonal_rows_is_the_dictionary_scaled(dictionary):
    # A A^T = c I for two copies of an orthogonal matrix; columns of length one half need four times themselves.
    square = torch.linalg.qr(gaussian_dictionary(6, 6, 0).double()).Q
    dictionary = torch.cat([square, square], dim=1) / 2
    assert torch.allclose(analytic_matrix(dictionary), 4 * dictionary)
