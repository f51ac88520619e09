"""What the Spark jobs are made of: pure transforms of data frames, and the places that they read and write."""
