"""The report of a restoration: one self-contained HTML page, and the same facts as JSON."""
