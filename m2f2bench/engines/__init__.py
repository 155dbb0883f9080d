"""Where prediction runs."""
