"""Files of pictures and videos, read strictly: what every adapter reads with."""
