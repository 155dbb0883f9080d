"""Demo: a local page in a browser on which photos and videos are judged, and an explainer is asked about them."""
