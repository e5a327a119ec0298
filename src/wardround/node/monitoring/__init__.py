"""Models in use are watched, and taken out of use where what they do is no longer what it was."""
