"""The process: watches, queue, workers, leader election, HTTP."""
