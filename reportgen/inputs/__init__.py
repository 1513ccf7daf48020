"""What the user gives: images, probes, labels, data sets, preprocessing, a training history."""
