"""What the three command line programs do alike."""
