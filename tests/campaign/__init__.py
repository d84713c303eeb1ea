"""The campaign of faults: every known fault and random damage, against readers that share no code with dxflow.

``make faults`` runs all of it, prints the table and fails on anything wrong, hung, crashed or unnamed; `test_slice`
runs a part of it with the other tests.
"""
