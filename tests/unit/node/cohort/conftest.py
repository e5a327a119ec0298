"""A node that answers questions, over a real hub's handlers."""

from tests.unit.node.projects.conftest import lab as lab
