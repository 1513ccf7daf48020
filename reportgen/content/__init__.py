"""The report's data: one file a section, and the leaves that several sections share."""
