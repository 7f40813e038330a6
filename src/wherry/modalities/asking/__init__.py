"""Questions to a modality (C-FIND), and what is kept of their answers."""
