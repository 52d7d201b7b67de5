"""Games and policies of other libraries, here and there."""
