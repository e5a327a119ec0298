"""A hospital with a hub beside it."""

from tests.unit.node.projects.conftest import lab as lab
