"""What the faces share to speak HTTP: bodies, answers, errors, threads. It decides nothing."""
