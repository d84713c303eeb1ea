"""What an algorithm declares: hooks, inputs, outputs, and what hooks see."""
