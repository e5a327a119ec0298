"""What a run told, written for other programs and as a picture."""
