"""What both processes use: settings, logs, serving, guard, clock, errors. It imports neither of them."""
