"""Compile and run small graphs, and check their gradients against differences of their losses."""

import numpy as np
from gradcheck import numeric_gradient

from convkit.compiler import Workspace, compile


def feed(program, feeds):
    """Feed whole arrays, row by row; the program's batch is their length."""
    index = np.arange(program.batch)
    for tensor, source in feeds.items():
        program.feed(tensor, source, index)


def run_graph(graph, fetch, feeds, batch=None, workspace=None):
    """Compile for the length of the fed arrays, run once, return copies of the fetched tensors."""
    if batch is None:
        batch = len(next(iter(feeds.values())))
    program = compile(graph, batch=batch, fetch=fetch, workspace=workspace or Workspace())
    feed(program, feeds)
    program.run()
    return [program.view(tensor).copy() for tensor in fetch]


def assert_graph_gradients(graph, loss, feeds):
    """Assert that the gradient of every trainable variable is that of the mean loss (float64).

    A loss near 1 carries about 1e-16 / 1e-6 = 1e-10 of rounding per difference, and a truncation
    of 1e-12 times its third derivative; 1e-7 leaves room for losses and derivatives of a hundred.
    A wrong factor or a missing term is larger by five orders.
    """
    batch = len(next(iter(feeds.values())))
    workspace = Workspace()
    forward = compile(graph, batch=batch, fetch=[loss], workspace=workspace)
    gradients = graph.gradients(loss)
    backward = compile(graph, batch=batch, fetch=list(gradients.values()), workspace=workspace)
    for program in (forward, backward):
        feed(program, feeds)
    backward.run()
    found = {v: backward.view(t).copy() for v, t in gradients.items()}
    for variable, gradient in found.items():
        start = variable.value.copy()

        def loss_at(value, variable=variable):
            variable.assign(value)
            forward.run()
            return forward.view(loss)[0]

        expected = numeric_gradient(loss_at, start, 1.0)
        variable.assign(start)
        scale = 1 + np.abs(expected).max()
        np.testing.assert_allclose(
            gradient, expected, rtol=1e-6, atol=1e-7 * scale, err_msg=variable.name
        )
    return gradients
