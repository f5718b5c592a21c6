"""The report page: one self-contained HTML file that escapes by construction."""
