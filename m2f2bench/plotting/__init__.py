"""Figures for papers: what each kind shows, and the sheet it is drawn on."""
