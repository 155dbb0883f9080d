"""The version, and since which version numbers are what they are."""

__version__ = "0.5.2"
DETECTION = "0.5.1"
"""The version that last moved a number of detection: the field `v` of its signatures."""
ANSWERS = "0.5.2"
"""The same of answers to questions."""
