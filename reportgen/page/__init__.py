"""The data of a report to HTML and to the folder on disk; starts in a tenth of a second."""
