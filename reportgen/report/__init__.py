"""The report as data: versioned, typed, free of arrays, HTML and Keras objects."""
