"""The methods, one folder each: found by scanning, so that another one costs no line here."""
