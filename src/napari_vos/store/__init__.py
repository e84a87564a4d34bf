"""Session folders: labels, evidence, versions of frames, and the journal."""
