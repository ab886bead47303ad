"""What train.py, export.py, evaluate.py and compare.py share."""
