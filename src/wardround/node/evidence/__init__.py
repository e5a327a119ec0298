"""Evidence of how models do at this hospital, and the stages that it opens."""
