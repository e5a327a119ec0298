"""The pages of a hospital's own people: what came in, what is asked, what left, what is in use."""
